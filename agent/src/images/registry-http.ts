import { lookup } from "node:dns";
import { Agent as HttpAgent, type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import type { LookupFunction } from "node:net";
import { getCACertificates } from "node:tls";
import { TesseraError } from "@tessera/proto";
import { Turns } from "./turns.ts";

export interface RegistrySettings {
  /** PEM certificates of authorities that are trusted besides the node's. */
  readonly ca?: string;
  /** "host" or "host:port" each: plain HTTP, and certificates that nobody vouches for, are accepted there. Loopback may be plain HTTP anyway. */
  readonly insecure?: readonly string[];
}

export interface RegistryRequest {
  readonly method?: "GET" | "HEAD" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface RegistryResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: IncomingMessage;
  /** Where the answer came from, after redirects. */
  readonly url: URL;
}

/** A connection on which nothing moves for so long is given up. */
const STALL_MS = 30_000;
const MAX_REDIRECTS = 5;

/** HTTP as registries need it: TLS with more authorities, redirects to blob stores, plain HTTP only where it is allowed. */
export class RegistryHttp {
  readonly #settings: RegistrySettings;
  readonly #stallMs: number;
  readonly #plain = new HttpAgent({ keepAlive: true });
  readonly #lenient = new HttpsAgent({ keepAlive: true, rejectUnauthorized: false });
  #strict: HttpsAgent | undefined;
  /** Hosts that were found to speak plain HTTP. */
  readonly #plainHosts = new Set<string>();
  readonly #lookups = new Turns(1);

  constructor(settings: RegistrySettings, { stallMs = STALL_MS } = {}) {
    this.#settings = settings;
    this.#stallMs = stallMs;
  }

  /** Asks a registry, "docker.io" or "host:port"; `path` begins with "/v2/". */
  async askRegistry(domain: string, path: string, request: RegistryRequest): Promise<RegistryResponse> {
    const host = registryHost(domain);
    if (!this.#plainHosts.has(host)) {
      try {
        return await this.ask(new URL(`https://${host}${path}`), request);
      } catch (error) {
        if (!this.mayBePlain(host) || !(error instanceof TesseraError) || !speaksNoTls(error.cause)) throw error;
        this.#plainHosts.add(host);
      }
    }
    const response = await this.ask(new URL(`http://${host}${path}`), request);
    // So a server answers that speaks TLS since it was restarted.
    if (response.status === 400) this.#plainHosts.delete(host);
    return response;
  }

  /** Follows redirects; credentials stay with the host that they were meant for. Throws TesseraError when there is no answer. */
  async ask(url: URL, request: RegistryRequest): Promise<RegistryResponse> {
    let at = url;
    let headers = request.headers;
    for (let redirects = 0; ; redirects++) {
      const response = await this.#send(at, { ...request, headers });
      const { location } = response.headers;
      const status = response.statusCode ?? 0;
      if (![301, 302, 303, 307, 308].includes(status) || location === undefined || request.method === "POST")
        return { status, headers: response.headers, body: response, url: at };
      response.destroy();
      if (redirects === MAX_REDIRECTS)
        throw new TesseraError("ServiceUnavailable", `${url.host} redirects more than ${MAX_REDIRECTS} times`);
      const next = URL.parse(location, at.href);
      if (next === null || !isWeb(next) || (next.protocol === "http:" && at.protocol === "https:"))
        throw new TesseraError("ServiceUnavailable", `${at.host} redirects to "${location.slice(0, 200)}", which is no safe address`);
      if (next.origin !== at.origin) headers = withoutAuthorization(headers);
      at = next;
    }
  }

  mayBePlain(host: string): boolean {
    return isLoopback(host) || this.#isInsecure(host);
  }

  close(): void {
    for (const agent of [this.#plain, this.#lenient, this.#strict]) agent?.destroy();
  }

  #isInsecure(host: string): boolean {
    return this.#settings.insecure?.includes(host) ?? false;
  }

  async #send(url: URL, { method = "GET", headers, body, signal }: RegistryRequest): Promise<IncomingMessage> {
    const secure = url.protocol === "https:";
    const options = {
      method,
      // Digests are of the bytes as they are stored.
      headers: { "user-agent": "tessera", "accept-encoding": "identity", ...headers },
      agent: secure ? this.#secureAgent(url.host) : this.#plain,
      timeout: this.#stallMs,
      lookup: this.#lookUp,
      signal,
    };
    return await new Promise((resolve, reject) => {
      const sending = secure ? requestHttps(url, options) : requestHttp(url, options);
      sending.once("response", resolve);
      // More than one may come, the later ones about what has been given up.
      sending.on("error", (error) => reject(signal.aborted ? signal.reason : explainNetworkError(error, url)));
      sending.on("timeout", () =>
        sending.destroy(new TesseraError("Timeout", `registry ${hostAndPort(url)} did not answer for ${this.#stallMs / 1000} s`)),
      );
      sending.end(body);
    });
  }

  /**
   * One name at a time: the C library's resolver, which knows the node's own ways to find names, holds one of the process' few threads
   * for as long as name servers are silent, and file operations of all pods need the others.
   */
  readonly #lookUp: LookupFunction = (hostname, options, callback) => {
    const search = () =>
      new Promise<void>((resolve) => {
        lookup(hostname, options, (...answer) => {
          resolve();
          callback(...answer);
        });
      });
    // Its own answer is the only way in which it can fail.
    void this.#lookups.run(new AbortController().signal, search);
  };

  #secureAgent(host: string): HttpsAgent {
    if (this.#isInsecure(host)) return this.#lenient;
    // Reading the node's authorities takes a while, so not before they are needed.
    this.#strict ??= new HttpsAgent({
      keepAlive: true,
      ca: [
        ...getCACertificates("default"),
        ...getCACertificates("system"),
        ...(this.#settings.ca === undefined ? [] : [this.#settings.ca]),
      ],
    });
    return this.#strict;
  }
}

/** Where the registry of a domain listens: Docker Hub's is elsewhere than its name says. */
export function registryHost(domain: string): string {
  return domain === "docker.io" || domain === "index.docker.io" ? "registry-1.docker.io" : domain;
}

/** Reads a body of at most `limit` bytes; errors name `what`. */
export async function readBody({ body, url }: RegistryResponse, limit: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > limit) throw new TesseraError("Invalid", `${what} is longer than ${limit} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw explainNetworkError(error, url);
  }
  return Buffer.concat(chunks);
}

/** Whether trying again may help, because the network or the server is to blame. */
export function isPassing(error: unknown): boolean {
  return error instanceof TesseraError && ["ServiceUnavailable", "Timeout", "TooManyRequests"].includes(error.reason);
}

const networkFaults: ReadonlyMap<string, string> = new Map([
  ["ECONNREFUSED", "connection refused"],
  ["ENOTFOUND", "no such host"],
  ["EAI_AGAIN", "its name cannot be resolved at the moment"],
  ["EHOSTUNREACH", "no route to host"],
  ["ENETUNREACH", "network is unreachable"],
  ["ETIMEDOUT", "connection timed out"],
  ["ECONNRESET", "connection lost"],
  ["EPIPE", "connection lost"],
]);

/** Certificate faults, as OpenSSL names them. */
const certificateFault = /^(?:CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_CERT_|HOSTNAME_MISMATCH|INVALID_CA)/;

/** A failed connection in words that name host and port. Aborts and errors that are explained already stay as they are. */
export function explainNetworkError(error: unknown, url: URL): unknown {
  if (error instanceof TesseraError || !(error instanceof Error) || error.name === "AbortError" || error.name === "TimeoutError")
    return error;
  const { code = "" } = error as NodeJS.ErrnoException;
  const host = hostAndPort(url);
  if (certificateFault.test(code)) {
    const hint = "give its authority to the agent with --registry-ca";
    return new TesseraError("Invalid", `the certificate of registry ${host} is not trusted: ${error.message}; ${hint}`, { cause: error });
  }
  return new TesseraError("ServiceUnavailable", `cannot reach registry ${host}: ${networkFaults.get(code) ?? error.message}`, {
    cause: error,
  });
}

function hostAndPort(url: URL): string {
  return `${url.hostname}:${url.port || (url.protocol === "https:" ? "443" : "80")}`;
}

/** A server of plain HTTP answers a TLS greeting with text. */
function speaksNoTls(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code;
  return code === "EPROTO" || (typeof code === "string" && code.startsWith("ERR_SSL_"));
}

function isLoopback(host: string): boolean {
  const name = host.replace(/:[0-9]+$/, "");
  return name === "localhost" || name === "[::1]" || /^127(?:\.[0-9]{1,3}){3}$/.test(name);
}

function isWeb(url: URL): boolean {
  return url.protocol === "https:" || url.protocol === "http:";
}

function withoutAuthorization(headers: RegistryRequest["headers"]): RegistryRequest["headers"] {
  return Object.fromEntries(Object.entries(headers ?? {}).filter(([name]) => name.toLowerCase() !== "authorization"));
}
