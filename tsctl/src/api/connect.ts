import { constants } from "node:fs";
import { access as accessFile } from "node:fs/promises";
import type { Agent, RequestOptions as HttpsOptions } from "node:https";
import { TesseraError } from "@tessera/proto";
import type { Api } from "./api.ts";
import { HttpsApi } from "./https-api.ts";

export interface ConnectOptions {
  /** kubeconfig files, merged in this order. */
  readonly kubeconfigs: readonly string[];
  /** The current one of the kubeconfig unless given. */
  readonly context?: string;
  readonly onWarning: (text: string) => void;
}

export interface Connection {
  readonly api: Api;
  /** The context's namespace, or "default". */
  readonly namespace: string;
  readonly context: string;
}

const advice = `"tsctl dev up" brings a cluster up; --context or --kubeconfig choose another one`;

/** Reads the kubeconfig and prepares a client. Nothing is sent yet. */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const config = await loadConfig(options.kubeconfigs);
  if (options.context !== undefined) config.setCurrentContext(options.context);
  const name = config.getCurrentContext();
  if (!name)
    throw new TesseraError(
      "BadRequest",
      `no cluster is chosen: the kubeconfig ${options.kubeconfigs.join(", ")} has no current context; ${advice}`,
    );
  const context = config.getContextObject(name);
  if (context === null) {
    const known = config.getContexts().map((each) => each.name);
    throw new TesseraError(
      "BadRequest",
      `the kubeconfig has no context "${name}"; it has ${known.length === 0 ? "none" : known.join(", ")}`,
    );
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null)
    throw new TesseraError("BadRequest", `the kubeconfig's context "${name}" names the cluster "${context.cluster}", which is not there`);

  const https: HttpsOptions = {};
  // A plain server is for tests and local proxies: it gets no credentials, which anybody could read on the way.
  if (!cluster.server.startsWith("http:")) await config.applyToHTTPSOptions(https);
  const { ca, cert, key, passphrase, servername, rejectUnauthorized } = https;
  const api = new HttpsApi({
    access: {
      server: cluster.server,
      tls: dropUndefined({ ca, cert, key, passphrase, servername, rejectUnauthorized }),
      headers: toHeaders(https.headers),
      agent: cluster.proxyUrl ? (https.agent as Agent) : undefined,
    },
    onWarning: options.onWarning,
  });
  return { api, namespace: context.namespace || "default", context: name };
}

async function loadConfig(files: readonly string[]) {
  const { KubeConfig } = await import("@kubernetes/client-node/dist/config.js");
  const readable = await Promise.all(files.map(async (file) => ({ file, ok: await isReadable(file) })));
  const existing = readable.filter(({ ok }) => ok).map(({ file }) => file);
  if (existing.length === 0)
    throw new TesseraError("BadRequest", `no cluster is known: there is no kubeconfig at ${files.join(", ")}; ${advice}`);
  const [first, ...others] = existing.map((file) => {
    const config = new KubeConfig();
    try {
      config.loadFromFile(file);
    } catch (cause) {
      const said = cause instanceof Error ? cause.message.split("\n", 1)[0] : String(cause);
      throw new TesseraError("BadRequest", `the kubeconfig ${file} cannot be read: ${said}`, { cause });
    }
    return config;
  });
  if (first === undefined) throw new TesseraError("BadRequest", "no kubeconfig");
  for (const other of others) first.mergeConfig(other, Boolean(first.getCurrentContext()));
  return first;
}

async function isReadable(file: string): Promise<boolean> {
  return await accessFile(file, constants.R_OK).then(
    () => true,
    () => false,
  );
}

function dropUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined && each !== null)) as T;
}

function toHeaders(headers: HttpsOptions["headers"]): Record<string, string> {
  return Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, String(value)]));
}
