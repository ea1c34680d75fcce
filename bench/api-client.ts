import { readFileSync } from "node:fs";
import https from "node:https";
import { createInterface } from "node:readline";
import { KubeConfig } from "@kubernetes/client-node";

/** A bare client over kept-alive connections, so that what is measured is the server. */
export class ApiClient {
  readonly #agent: https.Agent;
  readonly #base: URL;

  constructor(kubeconfigPath: string) {
    const config = new KubeConfig();
    config.loadFromString(readFileSync(kubeconfigPath, "utf8"));
    const cluster = config.getCurrentCluster();
    const user = config.getCurrentUser();
    if (!cluster || !user) throw new Error(`${kubeconfigPath} has no current context`);
    const decode = (data: string | undefined) => (data === undefined ? undefined : Buffer.from(data, "base64"));
    this.#base = new URL(cluster.server);
    this.#agent = new https.Agent({
      keepAlive: true,
      maxSockets: 64,
      ca: decode(cluster.caData),
      cert: decode(user.certData),
      key: decode(user.keyData),
    });
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

  close(): void {
    this.#agent.destroy();
  }
}

export interface WatchEvent {
  readonly type: string;
  readonly object: { readonly metadata: { readonly name: string }; readonly status?: { readonly phase?: string } };
}

/** Node.js frames the body of a DELETE only when it is told how long it is. */
function headersOf(text: string | undefined): Record<string, string | number> {
  return text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
}
