import type { Secret } from "@tessera/proto";
import { allVerbs, type ResourceDefinition } from "../definition.ts";
import { type Fault, immutable, invalid, required } from "../faults.ts";
import { ageColumn, nameColumn, plainStrategy } from "../strategy.ts";
import { validateImmutableData, validateKeys } from "./keyed-data.ts";

/** Keys that a Secret of a known type must have. */
const requiredKeys: { readonly [type: string]: readonly string[] } = {
  "kubernetes.io/dockercfg": [".dockercfg"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
};

export const secretDefinition: ResourceDefinition<Secret> = {
  group: "",
  version: "v1",
  kind: "Secret",
  plural: "secrets",
  singular: "secret",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: allVerbs,
  subresources: [],
  selectableFields: { type: (secret) => secret.type ?? "" },
  returnsDeletedObject: false,
  columns: [
    nameColumn,
    { name: "Type", type: "string", description: "What the data is for.", cell: (secret) => secret.type ?? "" },
    { name: "Data", type: "integer", description: "Number of entries.", cell: (secret) => Object.keys(secret.data ?? {}).length },
    ageColumn,
  ],
  strategy: plainStrategy<Secret>({
    prepareForCreate: prepare,
    prepareForUpdate: (next, current) => {
      prepare(next);
      if (!next.type) next.type = current.type;
    },
    validate,
    validateUpdate: (next, current) => [
      ...validate(next),
      ...(next.type === current.type ? [] : [immutable("type", next.type)]),
      ...validateImmutableData(next, current, ["data"]),
    ],
  }),
};

/** stringData is a convenience for writers only: it ends up in data and is never stored. */
function prepare(secret: Secret): void {
  if (secret.stringData !== undefined) {
    const data = { ...secret.data };
    for (const [key, value] of Object.entries(secret.stringData)) data[key] = Buffer.from(value).toString("base64");
    secret.data = data;
    delete secret.stringData;
  }
  secret.type ||= "Opaque";
}

function validate(secret: Secret): Fault[] {
  const faults = validateKeys({ data: secret.data });
  for (const key of requiredKeys[secret.type ?? ""] ?? []) {
    if (secret.data?.[key] === undefined) faults.push(required(`data[${key}]`));
  }
  if (secret.type === "kubernetes.io/basic-auth" && secret.data?.["username"] === undefined && secret.data?.["password"] === undefined) {
    faults.push(required("data[username]"), required("data[password]"));
  }
  const dockerConfig = secret.type === "kubernetes.io/dockerconfigjson" ? secret.data?.[".dockerconfigjson"] : undefined;
  if (dockerConfig !== undefined && !isJson(Buffer.from(dockerConfig, "base64").toString())) {
    faults.push(invalid("data[.dockerconfigjson]", "<secret contents redacted>", "must be JSON"));
  }
  return faults;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
