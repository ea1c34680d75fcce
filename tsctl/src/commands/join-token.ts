import { type ConfigMap, type Secret, TesseraError } from "@tessera/proto";
import type { ApiList } from "../api/api.ts";
import { type AnyCommand, defineCommand, flag } from "../command.ts";
import { caHash, newTokenParts, readToken, tokenNamespace, tokenObject, tokenSecretName, tokenType } from "../join/join-token.ts";
import { formatDuration, parseDuration } from "../print/age.ts";
import { formatColumns } from "../print/columns.ts";

const secretsPath = `/api/v1/namespaces/${tokenNamespace}/secrets`;

interface CreateOptions {
  readonly ttlMs: number;
  readonly node?: string;
  readonly reusable: boolean;
  readonly description?: string;
  readonly server?: string;
  readonly json: boolean;
}

const createToken = defineCommand<CreateOptions>({
  name: "join-token create",
  summary: "Make a token with which a machine joins as a node",
  examples: `# Prints the command line to run on the machine
tsctl join-token create
# For the machine that takes the place of node-3
tsctl join-token create --node node-3 --ttl 1h
# For many machines
tsctl join-token create --reusable --server 10.0.0.1:6443`,
  declare: (command) =>
    command
      .option("--ttl <duration>", "how long it can be used; 0: for ever", "24h")
      .option("--node <name>", "only this node may join with it, also if a node of that name exists")
      .option("--reusable", "any number of machines may join with it")
      .option("--description <text>", "what it is for")
      .option("--server <host:port>", "where machines reach the API; default: as the kubeconfig has it")
      .option("-o, --output <format>", '"json"'),
  parse: (_words, flags) => ({
    ttlMs: parseTtl(flag.text(flags["ttl"]) ?? "24h"),
    node: flag.text(flags["node"]),
    reusable: flag.isSet(flags["reusable"]),
    description: flag.text(flags["description"]),
    server: flag.text(flags["server"]),
    json: flags["output"] === "json",
  }),
  validate: ({ node, reusable, server }) => [
    ...(node !== undefined && reusable ? ["a token for one node is used once: either --node or --reusable"] : []),
    ...(server !== undefined && !/^(\[[0-9a-fA-F:.]+\]|[^:[\]]+):\d{1,5}$/.test(server) ? [`--server "${server}" is not HOST:PORT`] : []),
  ],
  run: async (options, context) => {
    const { api } = await context.cluster();
    const ca = await api.request<ConfigMap>("GET", `/api/v1/namespaces/${tokenNamespace}/configmaps/kube-root-ca.crt`, {
      signal: context.signal,
    });
    const hash = caHash(ca.data?.["ca.crt"] ?? "");
    const { id, secret } = newTokenParts();
    const expiresAtMs = options.ttlMs === 0 ? undefined : context.clock.now() + options.ttlMs;
    const body = tokenObject({
      ...{ id, secret, expiresAtMs },
      nodeName: options.node,
      isReusable: options.reusable,
      description: options.description,
    });
    await api.request<Secret>("POST", secretsPath, { body, signal: context.signal });
    const server = options.server ?? hostAndPort(api.server);
    const token = `${id}.${secret}`;
    if (options.json) {
      await context.out.write(`${JSON.stringify({ server, token, caHash: hash }, null, 4)}\n`);
      return 0;
    }
    const name = options.node === undefined ? "" : ` --node-name ${options.node}`;
    await context.out.write(`sh install.sh agent --join ${server} --token ${token} --ca-hash ${hash}${name}\n`);
    if (options.server === undefined && isLoopback(server)) {
      await context.err.write(`${server} is this machine for itself only: for others give --server HOST:PORT, as they reach it\n`);
    }
    return 0;
  },
});

const listTokens = defineCommand<{ readonly json: boolean; readonly noHeaders: boolean }>({
  name: "join-token list",
  aliases: ["ls"],
  summary: "Show the tokens with which machines can join",
  examples: "tsctl join-token list",
  declare: (command) => command.option("-o, --output <format>", '"json"').option("--no-headers", "rows only"),
  parse: (_words, flags) => ({ json: flags["output"] === "json", noHeaders: flags["headers"] === false }),
  run: async ({ json, noHeaders }, context) => {
    const { api } = await context.cluster();
    const query = { fieldSelector: `type=${tokenType}` };
    const { items = [] } = await api.request<ApiList<Secret>>("GET", secretsPath, { query, signal: context.signal });
    const tokens = items.flatMap((secret) => readToken(secret) ?? []);
    if (json) {
      await context.out.write(`${JSON.stringify(tokens, null, 4)}\n`);
      return 0;
    }
    const left = (expiration: string | undefined) => {
      if (expiration === undefined) return "<never>";
      const ms = Date.parse(expiration) - context.clock.now();
      return ms > 0 ? formatDuration(ms) : "<expired>";
    };
    const rows = tokens.map((token) => [
      token.id,
      left(token.expiration),
      token.nodeName ?? "<any>",
      token.isReusable ? "<reusable>" : (token.usedBy ?? "<none>"),
      token.description ?? "",
    ]);
    if (rows.length === 0) await context.err.write("No join tokens\n");
    else await context.out.write(formatColumns(noHeaders ? rows : [["ID", "EXPIRES", "NODE", "USED BY", "DESCRIPTION"], ...rows]));
    return 0;
  },
});

const deleteToken = defineCommand<{ readonly ids: readonly string[] }>({
  name: "join-token delete",
  summary: "Make tokens useless; nodes that have joined stay",
  examples: "tsctl join-token delete 4fzk2q",
  declare: (command) => command.argument("<token...>", "ids of tokens, or tokens"),
  parse: (words) => ({ ids: words.map((word) => word.split(".")[0] ?? "") }),
  validate: ({ ids }) => ids.filter((id) => !/^[a-z0-9]{6}$/.test(id)).map((id) => `"${id}" is not the id of a join token`),
  run: async ({ ids }, context) => {
    const { api } = await context.cluster();
    for (const id of ids) {
      await api.request("DELETE", `${secretsPath}/${tokenSecretName(id)}`, { signal: context.signal }).catch((error: unknown) => {
        if (!(error instanceof TesseraError && error.reason === "NotFound")) throw error;
        throw new TesseraError("NotFound", `there is no join token "${id}"; "tsctl join-token list" shows those there are`, {
          cause: error,
        });
      });
      await context.out.write(`join token ${id} deleted\n`);
    }
    return 0;
  },
});

export const joinTokenCommands: readonly AnyCommand[] = [createToken, listTokens, deleteToken];

function parseTtl(text: string): number {
  const ttl = parseDuration(text);
  if (ttl === undefined) throw new TesseraError("BadRequest", `--ttl "${text}" is not a duration such as 24h or 30m`);
  return ttl;
}

/** "https://10.0.0.1:6443" as "10.0.0.1:6443". */
function hostAndPort(server: string): string {
  const { hostname, port, protocol } = new URL(server);
  return `${hostname}:${port || (protocol === "https:" ? "443" : "80")}`;
}

function isLoopback(server: string): boolean {
  return /^(127\.|localhost:|\[::1\])/.test(server);
}
