import { readFileSync } from "node:fs";
import https from "node:https";
import { createInterface } from "node:readline";
import { KubeConfig } from "@kubernetes/client-node";
import { WebSocket } from "ws";

export interface Access {
  readonly server: URL;
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

/** Where the current context of a kubeconfig leads, and as whom. */
export function readAccess(kubeconfigPath: string): Access {
  const config = new KubeConfig();
  config.loadFromString(readFileSync(kubeconfigPath, "utf8"));
  const cluster = config.getCurrentCluster();
  const user = config.getCurrentUser();
  if (!cluster || !user) throw new Error(`${kubeconfigPath} has no current context`);
  const decode = (data: string | undefined) => (data === undefined ? undefined : Buffer.from(data, "base64"));
  return { server: new URL(cluster.server), ca: decode(cluster.caData), cert: decode(user.certData), key: decode(user.keyData) };
}

/** A bare client over kept-alive connections, so that what is measured is the server. */
export class ApiClient {
  readonly #agent: https.Agent;
  readonly #base: URL;

  constructor(kubeconfigPath: string) {
    const { server, ...credentials } = readAccess(kubeconfigPath);
    this.#base = server;
    this.#agent = new https.Agent({ keepAlive: true, maxSockets: 64, ...credentials });
  }

  /** Throws with the answer's text unless it is a 2xx. */
  async request(method: string, path: string, body?: object): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const text = body && JSON.stringify(body);
    const request = https.request(new URL(path, this.#base), { method, agent: this.#agent, headers: headersOf(text) }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const answer = Buffer.concat(chunks).toString("utf8");
        if ((response.statusCode ?? 500) >= 300) reject(new Error(`${method} ${path}: ${response.statusCode} ${answer}`));
        else resolve(JSON.parse(answer));
      });
    });
    request.on("error", reject);
    request.end(text);
    return await promise;
  }

  /** Calls back for each event with the time it arrived; resolves once the watch is open. Returns its end. */
  async watch(path: string, onEvent: (event: WatchEvent, atMs: number) => void): Promise<() => void> {
    const { promise, resolve, reject } = Promise.withResolvers<() => void>();
    const request = https.request(new URL(path, this.#base), { agent: this.#agent }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`watch ${path}: ${response.statusCode}`));
      const lines = createInterface(response);
      lines.on("line", (line) => onEvent(JSON.parse(line) as WatchEvent, performance.now()));
      // The stream's end is the caller's doing; a watch that breaks earlier shows as a wait that never ends.
      lines.on("error", () => request.destroy());
      resolve(() => request.destroy());
    });
    request.on("error", reject);
    request.end();
    return await promise;
  }

  /** Reads an answer to its end and forgets it. */
  async download(path: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const request = https.get(new URL(path, this.#base), { agent: this.#agent }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`GET ${path}: ${response.statusCode}`));
      response.on("error", reject).on("end", resolve).resume();
    });
    request.on("error", reject);
    await promise;
  }

  /** Calls back with how many events have arrived, without reading them; resolves once the watch is open. Returns its end. */
  async watchLines(path: string, onLines: (count: number) => void): Promise<() => void> {
    const { promise, resolve, reject } = Promise.withResolvers<() => void>();
    const request = https.get(new URL(path, this.#base), { agent: this.#agent }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`watch ${path}: ${response.statusCode}`));
      response.on("data", (chunk: Buffer) => {
        let lines = 0;
        for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, at + 1)) lines++;
        if (lines > 0) onLines(lines);
      });
      // The end is the caller's doing.
      response.on("error", () => {});
      resolve(() => request.destroy());
    });
    request.on("error", reject);
    return await promise;
  }

  /**
   * Runs a command in a pod to its end by the WebSocket protocol, over a connection that an earlier request left open if there is one.
   * Throws unless it succeeds.
   */
  async exec(podPath: string, command: readonly string[]): Promise<void> {
    const query = new URLSearchParams([["stdout", "1"], ["stderr", "1"], ...command.map((word) => ["command", word] as [string, string])]);
    const socket = new WebSocket(new URL(`${podPath}/exec?${query}`, this.#base), "v5.channel.k8s.io", {
      agent: this.#agent,
      // The package's own would pass the agent by.
      createConnection: undefined,
      perMessageDeflate: false,
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let status = "no status";
    socket.on("message", (data) => {
      const message = data as Buffer;
      if (message[0] === errorChannel) status = message.toString("utf8", 1);
    });
    socket.on("error", reject);
    socket.on("close", () => {
      if ((status.startsWith("{") && JSON.parse(status).status) === "Success") resolve();
      else reject(new Error(`exec in ${podPath}: ${status}`));
    });
    await promise;
  }

  /** Closes the connections that nobody uses, so that the next request opens one. */
  closeIdle(): void {
    for (const sockets of Object.values(this.#agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Where the remote command protocol tells how a command ended. */
const errorChannel = 3;
const newline = 10;

export interface WatchEvent {
  readonly type: string;
  readonly object: { readonly metadata: { readonly name: string }; readonly status?: { readonly phase?: string } };
}

/** Node.js frames the body of a DELETE only when it is told how long it is. */
function headersOf(text: string | undefined): Record<string, string | number> {
  return text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
}
