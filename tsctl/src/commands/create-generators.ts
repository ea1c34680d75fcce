import { readFile } from "node:fs/promises";
import { TesseraError } from "@tessera/proto";
import { type AnyCommand, flag } from "../command.ts";
import { defineGenerator } from "../create/generator.ts";
import { declareKeyValues, keyValueFaults, readKeyValues } from "../create/key-values.ts";

const base64 = (values: ReadonlyMap<string, Buffer>) =>
  Object.fromEntries([...values].map(([key, value]) => [key, value.toString("base64")]));

/** Text that stays what it is when it is read back. */
const isText = (value: Buffer): boolean => Buffer.from(value.toString("utf8")).equals(value);

const configMap = defineGenerator({
  name: "configmap",
  aliases: ["cm"],
  summary: "Make a config map",
  examples: `# Of words
tsctl create configmap settings --from-literal=color=blue --from-literal=size=3
# Each file of a folder, and one by another name
tsctl create configmap files --from-file=conf/ --from-file=main=conf/first.conf`,
  declare: declareKeyValues,
  faults: keyValueFaults,
  make: async (name, flags) => {
    const values = [...(await readKeyValues(flags))];
    const data = Object.fromEntries(values.filter(([, value]) => isText(value)).map(([key, value]) => [key, value.toString("utf8")]));
    const binaryData = base64(new Map(values.filter(([, value]) => !isText(value))));
    return {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name },
      ...(Object.keys(data).length > 0 ? { data } : {}),
      ...(Object.keys(binaryData).length > 0 ? { binaryData } : {}),
    };
  },
});

const secret = defineGenerator({
  name: "secret generic",
  summary: "Make a secret of files and words",
  examples: `# A key of a file
tsctl create secret generic ssh --from-file=key=$HOME/.ssh/id_ed25519`,
  declare: (command) => declareKeyValues(command).option("--type <type>", "what the secret is for"),
  faults: keyValueFaults,
  make: async (name, flags) => {
    const data = base64(await readKeyValues(flags));
    const type = flag.text(flags["type"]);
    return {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name },
      ...(type === undefined ? {} : { type }),
      ...(Object.keys(data).length > 0 ? { data } : {}),
    };
  },
});

const registrySecret = defineGenerator({
  name: "secret docker-registry",
  summary: "Make a secret that opens a registry",
  examples: `# For imagePullSecrets
tsctl create secret docker-registry pull --docker-server=registry.example.com --docker-username=me --docker-password=secret`,
  declare: (command) =>
    command
      .option("--docker-server <host>", "the registry", "https://index.docker.io/v1/")
      .option("--docker-username <name>", "user there")
      .option("--docker-password <password>", "their password")
      .option("--docker-email <address>", "their mail address"),
  faults: (flags) =>
    ["docker-username", "docker-password"]
      .filter((each) => flags[each.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())] === undefined)
      .map((each) => `--${each} is missing`),
  make: async (name, flags) => {
    const [username, password] = [flag.text(flags["dockerUsername"]), flag.text(flags["dockerPassword"])];
    const email = flag.text(flags["dockerEmail"]);
    const auth = Buffer.from(`${username}:${password}`).toString("base64");
    const auths = { [flag.text(flags["dockerServer"]) ?? ""]: { username, password, ...(email === undefined ? {} : { email }), auth } };
    const data = { ".dockerconfigjson": Buffer.from(JSON.stringify({ auths })).toString("base64") };
    return { apiVersion: "v1", kind: "Secret", metadata: { name }, type: "kubernetes.io/dockerconfigjson", data };
  },
});

const tlsSecret = defineGenerator({
  name: "secret tls",
  summary: "Make a secret of a certificate and its key",
  examples: `# Both in PEM
tsctl create secret tls web --cert=web.crt --key=web.key`,
  declare: (command) => command.option("--cert <path>", "the certificate").option("--key <path>", "its private key"),
  faults: (flags) => ["cert", "key"].filter((each) => flags[each] === undefined).map((each) => `--${each} is missing`),
  make: async (name, flags) => {
    const data = base64(
      new Map([
        ["tls.crt", await readPem(flag.text(flags["cert"]) ?? "")],
        ["tls.key", await readPem(flag.text(flags["key"]) ?? "")],
      ]),
    );
    return { apiVersion: "v1", kind: "Secret", metadata: { name }, type: "kubernetes.io/tls", data };
  },
});

async function readPem(path: string): Promise<Buffer> {
  const content = await readFile(path).catch((cause: Error) => {
    throw new TesseraError("BadRequest", `error reading ${path}: ${cause.message}`, { cause });
  });
  if (content.includes("-----BEGIN ")) return content;
  throw new TesseraError("BadRequest", `${path} is not PEM: it has no -----BEGIN line`);
}

const namespace = defineGenerator({
  name: "namespace",
  aliases: ["ns"],
  summary: "Make a namespace",
  examples: "tsctl create namespace shop",
  make: async (name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } }),
});

const serviceAccount = defineGenerator({
  name: "serviceaccount",
  aliases: ["sa"],
  summary: "Make a service account",
  examples: "tsctl create serviceaccount builder",
  make: async (name) => ({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name } }),
});

/** All that `create` makes of a few words. */
export const createGenerators: readonly AnyCommand[] = [configMap, secret, registrySecret, tlsSecret, namespace, serviceAccount];
