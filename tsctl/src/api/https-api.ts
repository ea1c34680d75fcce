import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent, type RequestOptions as HttpsOptions, request as requestHttps } from "node:https";
import type { Readable } from "node:stream";
import { TesseraError } from "@tessera/proto";
import { WebSocket } from "ws";
import type { Api, Method, Query, RequestOptions } from "./api.ts";
import { toStatusError } from "./status-error.ts";

export interface Access {
  readonly server: string;
  /** Certificates and keys as node:https takes them. */
  readonly tls: Pick<HttpsOptions, "ca" | "cert" | "key" | "passphrase" | "servername" | "rejectUnauthorized">;
  readonly headers: Readonly<Record<string, string>>;
  /** For a server behind a proxy; otherwise connections are kept and used again. */
  readonly agent?: Agent;
}

/** The API over HTTPS. */
export class HttpsApi implements Api {
  readonly server: string;
  readonly #access: Access;
  readonly #agent: Agent | HttpAgent;
  readonly #onWarning: (text: string) => void;

  constructor(deps: { readonly access: Access; readonly onWarning: (text: string) => void }) {
    this.#access = deps.access;
    this.server = deps.access.server.replace(/\/+$/, "");
    this.#onWarning = deps.onWarning;
    this.#agent =
      deps.access.agent ?? (this.#isPlain ? new HttpAgent({ keepAlive: true }) : new Agent({ keepAlive: true, ...deps.access.tls }));
  }

  get #isPlain(): boolean {
    return this.#access.server.startsWith("http:");
  }

  async request<T>(method: Method, path: string, options: RequestOptions = {}): Promise<T> {
    const text = await readText(await this.open(method, path, options));
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new TesseraError("InternalError", `${method} ${path}: the server's answer is not JSON: ${text.slice(0, 200)}`, { cause });
    }
  }

  async open(method: Method, path: string, options: RequestOptions = {}): Promise<Readable> {
    const response = await this.#send(method, path, options);
    for (const warning of parseWarnings(response.headers["warning"])) this.#onWarning(warning);
    const code = response.statusCode ?? 0;
    if (code >= 200 && code < 300) return response;
    throw toStatusError(code, await readText(response));
  }

  async #send(method: Method, path: string, options: RequestOptions): Promise<IncomingMessage> {
    const body = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body));
    const hasBody = body !== undefined || options.stream !== undefined;
    const headers = {
      accept: options.accept ?? "application/json",
      "user-agent": "tsctl",
      ...(hasBody ? { "content-type": options.contentType ?? "application/json" } : {}),
      ...(body === undefined ? {} : { "content-length": String(body.length) }),
      ...this.#access.headers,
    };
    const url = new URL(`${this.server}${path}${toQueryString(options.query)}`);
    const request = this.#isPlain ? requestHttp : requestHttps;
    return await new Promise((resolve, reject) => {
      const sent = request(url, { method, headers, agent: this.#agent, signal: options.signal, ...this.#access.tls }, resolve);
      sent.on("error", (error: NodeJS.ErrnoException) =>
        reject(options.signal?.aborted === true ? error : connectionError(this.server, error)),
      );
      if (options.stream === undefined) {
        sent.end(body);
        return;
      }
      options.stream.on("error", (error) => sent.destroy(error));
      options.stream.pipe(sent);
    });
  }

  async websocket(path: string, query: string, protocols: readonly string[], signal?: AbortSignal): Promise<WebSocket> {
    const url = `${this.server.replace(/^http/, "ws")}${path}${query === "" ? "" : `?${query}`}`;
    const socket = new WebSocket(url, [...protocols], {
      ...this.#access.tls,
      headers: { "user-agent": "tsctl", ...this.#access.headers },
      ...(this.#access.agent === undefined ? {} : { agent: this.#access.agent }),
      perMessageDeflate: false,
    });
    const onAbort = () => socket.terminate();
    signal?.addEventListener("abort", onAbort, { once: true });
    return await new Promise((resolve, reject) => {
      socket.once("open", () => {
        // What comes right after the upgrade must not be lost before the caller listens: it resumes the socket then.
        socket.pause();
        resolve(socket);
      });
      socket.once("unexpected-response", (request, response) => {
        readText(response).then((text) => reject(toStatusError(response.statusCode ?? 0, text)), reject);
        response.once("close", () => request.destroy());
      });
      socket.once("error", (error: NodeJS.ErrnoException) => reject(connectionError(this.server, error)));
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

export function toQueryString(query: Query | undefined): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) parameters.append(name, String(value));
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}

/** The texts of `Warning: 299 agent "text"` headers. */
function parseWarnings(header: string | string[] | undefined): string[] {
  const text = Array.isArray(header) ? header.join(", ") : (header ?? "");
  return [...text.matchAll(/299 \S+ "((?:[^"\\]|\\.)*)"/g)].map(([, quoted = ""]) => quoted.replace(/\\(.)/g, "$1"));
}

async function readText(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of stream) chunks.push(chunk);
  } catch (cause) {
    if (cause instanceof Error && cause.name === "AbortError") throw cause;
    throw new TesseraError("ServiceUnavailable", `the connection was lost in the middle of the server's answer`, { cause });
  }
  return Buffer.concat(chunks).toString("utf8");
}

const explanations: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused: nothing listens there",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "the host name cannot be looked up now",
  ETIMEDOUT: "no answer in time",
  EHOSTUNREACH: "no route to the host",
  ECONNRESET: "the connection was reset",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is not signed by the authority that the kubeconfig names",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is not signed by the authority that the kubeconfig names",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is not signed by the authority that the kubeconfig names",
  CERT_SIGNATURE_FAILURE: "its certificate is not signed by the authority that the kubeconfig names",
  CERT_HAS_EXPIRED: "its certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another host",
};

function connectionError(server: string, cause: NodeJS.ErrnoException): TesseraError {
  return new TesseraError("ServiceUnavailable", `cannot reach the server ${server}: ${explanations[cause.code ?? ""] ?? cause.message}`, {
    cause,
  });
}
