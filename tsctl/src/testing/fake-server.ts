import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";

export interface Recorded {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

type Answer =
  | { readonly status?: number; readonly body: unknown }
  | ((request: Recorded, response: ServerResponse) => void | Promise<void>);

/** A server that says what a test tells it to, and remembers what it was asked. */
export class FakeServer implements AsyncDisposable {
  readonly requests: Recorded[] = [];
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  readonly #sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] ?? false });
  readonly #answers = new Map<string, Answer[]>();
  readonly #webSockets = new Map<string, (socket: WebSocket) => void>();

  static async start(): Promise<FakeServer> {
    const server = new FakeServer();
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    server.#server.on("upgrade", (request, socket, head) => server.#upgrade(request, socket, head));
    server.on("GET /api", { body: discovery("", coreResources) });
    server.on("GET /apis", { body: discovery("coordination.k8s.io", [resource("leases", "lease", "Lease", true)]) });
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What to answer to "GET /path". Several answers are given one after the other, the last one for ever. */
  on(route: string, ...answers: Answer[]): this {
    this.#answers.set(route, answers);
    return this;
  }

  onWebSocket(path: string, handle: (socket: WebSocket) => void): this {
    this.#webSockets.set(path, handle);
    return this;
  }

  /** What was asked with this method, in order. */
  asked(method: string): Recorded[] {
    return this.requests.filter((request) => request.method === method);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#sockets.clients) client.terminate();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const recorded = await this.#record(request);
    const answers = this.#answers.get(`${recorded.method} ${recorded.path}`);
    const answer = answers !== undefined && answers.length > 1 ? answers.shift() : answers?.[0];
    if (typeof answer === "function") return await answer(recorded, response);
    const { status = 200, body } = answer ?? { status: 404, body: notFound(recorded.path) };
    response.writeHead(status, { "content-type": "application/json" });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    void this.#record(request).then(({ path }) => {
      const handle = this.#webSockets.get(path);
      if (handle !== undefined) {
        this.#sockets.handleUpgrade(request, socket, head, handle);
        return;
      }
      const body = JSON.stringify(notFound(path));
      socket.end(`HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    });
  }

  async #record(request: IncomingMessage): Promise<Recorded> {
    const url = new URL(request.url ?? "", "http://x");
    let body = "";
    if (request.headers.upgrade === undefined) for await (const chunk of request) body += chunk;
    const recorded = { method: request.method ?? "", path: url.pathname, query: url.searchParams, headers: request.headers, body };
    this.requests.push(recorded);
    return recorded;
  }
}

function resource(
  plural: string,
  singular: string,
  kind: string,
  namespaced: boolean,
  shortNames: string[] = [],
  categories: string[] = [],
) {
  const scope = namespaced ? "Namespaced" : "Cluster";
  const verbs = ["create", "delete", "get", "list", "patch", "watch"];
  return { resource: plural, singularResource: singular, scope, shortNames, categories, verbs, responseKind: { kind } };
}

const coreResources = [
  resource("configmaps", "configmap", "ConfigMap", true, ["cm"]),
  resource("events", "event", "Event", true, ["ev"]),
  resource("namespaces", "namespace", "Namespace", false, ["ns"]),
  resource("nodes", "node", "Node", false, ["no"]),
  resource("pods", "pod", "Pod", true, ["po"], ["all"]),
  resource("secrets", "secret", "Secret", true),
];

function discovery(group: string, resources: readonly object[]) {
  return { items: [{ metadata: group === "" ? {} : { name: group }, versions: [{ version: "v1", resources }] }] };
}

export function status(reason: string, message: string, details: object = {}) {
  return { kind: "Status", apiVersion: "v1", status: "Failure", reason, message, details };
}

function notFound(path: string) {
  const [name = "", kind = ""] = path.split("/").reverse();
  return status("NotFound", `${kind} "${name}" not found`, { name, kind });
}

/** Lines of a watch, then its end. */
export function watchOf(...events: readonly { readonly type: string; readonly object: unknown }[]): Answer {
  return (_request, response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(events.map((event) => `${JSON.stringify(event)}\n`).join(""));
  };
}

/** For routes that are asked with and without `watch=true`. */
export function listOrWatch(list: unknown, watch: Answer): Answer {
  return async (request, response) => {
    if (request.query.get("watch") !== "true") response.end(JSON.stringify(list));
    else if (typeof watch === "function") await watch(request, response);
  };
}
