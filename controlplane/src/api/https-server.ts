import { once } from "node:events";
import { type IncomingMessage, type OutgoingHttpHeaders, ServerResponse } from "node:http";
import { createSecureServer, type Http2SecureServer, Http2ServerRequest, type ServerHttp2Session } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type SecureContextOptions, TLSSocket } from "node:tls";
import { constants, createGzip, gzip } from "node:zlib";
import { TesseraError } from "@tessera/proto";
import type { Logger } from "pino";
import { WebSocketServer } from "ws";
import type { Credentials } from "../auth/authenticate.ts";
import type { ApiHandler } from "./api-handler.ts";
import { isConnection } from "./connection.ts";
import { type ApiRequest, type ApiResponse, jsonResponse } from "./http.ts";
import { toStatus } from "./status.ts";

export interface HttpsServerOptions {
  readonly handler: Pick<ApiHandler, "handle">;
  /** PEM. `ca` issued the server's certificate, and is what client certificates are checked against. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
  /** HOST:PORT; port 0 takes a free one. */
  readonly listen: readonly string[];
  readonly log: Logger;
}

/** Smaller answers are not worth compressing. */
const minGzipBytes = 128 * 1024;
/** Uploads of images are long requests. */
const requestTimeoutMs = 3_600_000;
const idleTimeoutMs = 65_000;
/** How long answers under way may take once the server is to stop. */
const drainTimeoutMs = 3000;
const maxSocketMessageBytes = 4 * 1024 * 1024;
/** Made once: an abort without a reason makes one, with a stack, for each request. */
const clientGone = new DOMException("the client is gone", "AbortError");

/** Of one connection; a client with more to ask waits or dials again. Go's clients, kubectl among them, keep to it. */
const maxConcurrentStreams = 250;
/** A client that opens streams only to drop them costs us more than it: beyond a burst its connection is closed. */
const streamResets = { streamResetBurst: 500, streamResetRate: 50 };
/** Frames that break the protocol, and streams beyond the bound, until the connection is closed. */
const maxFaultyFrames = 100;

/** HTTP/2 and HTTP/1.1 over TLS in front of the handler, on any number of addresses. WebSockets need HTTP/1.1. */
export class HttpsServer {
  readonly name = "api";
  readonly #options: HttpsServerOptions;
  readonly #stopping = new AbortController();
  readonly #certificates = new PeerCertificates();
  /** The subprotocol that was agreed for each upgrade under way. */
  readonly #protocols = new WeakMap<IncomingMessage, string>();
  readonly #sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: maxSocketMessageBytes,
  });
  readonly #addresses: string[] = [];
  readonly #listeners = new Set<Listener>();
  #tls: HttpsServerOptions["tls"];

  constructor(options: HttpsServerOptions) {
    this.#options = options;
    this.#tls = options.tls;
    this.#sockets.on("headers", (headers, request) => headers.push(`Sec-WebSocket-Protocol: ${this.#protocols.get(request)}`));
  }

  /** HOST:PORT of each listener with its real port; known once `ready` was called. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** From now on new connections see this certificate; those that stand are left alone. */
  renewCertificate(tls: HttpsServerOptions["tls"]): void {
    this.#tls = tls;
    for (const { server } of this.#listeners) server.setSecureContext(toContext(tls));
  }

  async run(signal: AbortSignal, ready?: () => void): Promise<void> {
    try {
      for (const address of this.#options.listen) this.#listeners.add(await this.#listen(address));
      ready?.();
      if (!signal.aborted) await once(signal, "abort");
    } finally {
      this.#stopping.abort();
      await Promise.all([...this.#listeners].map(closeServer));
      this.#listeners.clear();
    }
  }

  async #listen(address: string): Promise<Listener> {
    const server = createSecureServer({
      ...toContext(this.#tls),
      ...streamResets,
      requestCert: true,
      rejectUnauthorized: false,
      allowHTTP1: true,
      settings: { maxConcurrentStreams, enablePush: false },
      maxSessionInvalidFrames: maxFaultyFrames,
      maxSessionRejectedStreams: maxFaultyFrames,
    });
    // These are for HTTP/1.1, which the server passes on to node:http.
    Object.assign(server, { requestTimeout: requestTimeoutMs, keepAliveTimeout: idleTimeoutMs });
    const listener: Listener = { server, sockets: new Set(), sessions: new Set() };
    server.on("secureConnection", (socket) => keep(listener.sockets, socket));
    server.on("session", (session) => {
      keep(listener.sessions, session);
      session.on("error", (error) => this.#options.log.debug({ err: error }, "HTTP/2 connection broke"));
      closeWhenIdle(session);
    });
    server.on("request", (request, response) => {
      // What comes by HTTP/2 has all of this shape that is used here, as node:http2 means it to.
      void this.#serve(request as unknown as IncomingMessage, response as unknown as ServerResponse);
    });
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => void this.#upgrade(request, socket, head));
    server.on("tlsClientError", (error) => this.#options.log.debug({ err: error }, "TLS handshake failed"));
    const { host, port } = parseHostPort(address);
    server.listen(port, host);
    await once(server, "listening");
    const bound = server.address() as AddressInfo;
    this.#addresses.push(formatHostPort(host, bound.port));
    return listener;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const life = new RequestLife(this.#stopping.signal);
    let isSent = false;
    response.once("finish", () => {
      isSent = true;
    });
    response.once("close", () => {
      // Nobody is left who works on an answer that was sent as a whole.
      if (!isSent) life.end();
    });
    try {
      const answer = await this.#options.handler.handle(this.#toApiRequest(request, life));
      if (isConnection(answer)) {
        answer.refused();
        await send(request, response, refusal(new TesseraError("BadRequest", "Upgrade request required")));
      } else await send(request, response, answer);
    } catch (error) {
      if (!life.isOver) this.#options.log.warn({ err: error, path: request.url }, "answer could not be sent");
      response.destroy();
    }
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const life = new RequestLife(this.#stopping.signal);
    socket.once("close", () => life.end());
    socket.on("error", (error) => this.#options.log.debug({ err: error }, "connection broke"));
    try {
      const answer = await this.#options.handler.handle(this.#toApiRequest(request, life));
      if (!isConnection(answer)) return await sendOnSocket(request, socket, answer);
      const protocol = chooseProtocol(request, answer.protocols);
      if (life.isOver || protocol instanceof TesseraError) {
        answer.refused();
        if (protocol instanceof TesseraError) await sendOnSocket(request, socket, refusal(protocol));
        return;
      }
      this.#protocols.set(request, protocol);
      // The name of Kubernetes' tunnel has a slash, which ws would refuse.
      delete request.headers["sec-websocket-protocol"];
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => void answer.run(webSocket, protocol));
    } catch (error) {
      this.#options.log.warn({ err: error, path: request.url }, "connection could not be served");
      socket.destroy();
    }
  }

  #toApiRequest(request: IncomingMessage, life: RequestLife): ApiRequest {
    const [path = "/", query = ""] = splitOnce(request.url ?? "/", "?");
    return {
      method: request.method ?? "GET",
      path,
      query: new URLSearchParams(query),
      headers: request.headers,
      body: request,
      credentials: {
        authorization: request.headers.authorization,
        certificate: this.#certificates.of(request),
      },
      get remoteAddress() {
        return request.socket.remoteAddress ?? "";
      },
      get signal() {
        return life.signal;
      },
    };
  }
}

/** How long somebody waits for the answer to a request. */
class RequestLife {
  readonly #stopping: AbortSignal;
  #gone: AbortController | undefined;
  #signal: AbortSignal | undefined;
  #isOver = false;

  constructor(stopping: AbortSignal) {
    this.#stopping = stopping;
  }

  /** The client is gone. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Aborted when the client is gone or the server stops. */
  get signal(): AbortSignal {
    if (this.#signal === undefined) {
      this.#gone = new AbortController();
      if (this.#isOver) this.#gone.abort(clientGone);
      this.#signal = AbortSignal.any([this.#gone.signal, this.#stopping]);
    }
    return this.#signal;
  }

  end(): void {
    this.#isOver = true;
    this.#gone?.abort(clientGone);
  }
}

type ClientCertificate = NonNullable<Credentials["certificate"]>;

/** Reading a certificate out of OpenSSL costs more than most requests; it cannot change while the connection lasts. */
class PeerCertificates {
  readonly #known = new WeakMap<TLSSocket, { readonly certificate: ClientCertificate | undefined }>();

  of(request: IncomingMessage): ClientCertificate | undefined {
    // With HTTP/2 each stream has its own view of the connection's socket, the session only one.
    const socket = request instanceof Http2ServerRequest ? request.stream.session?.socket : request.socket;
    if (!(socket instanceof TLSSocket)) return undefined;
    const known = this.#known.get(socket) ?? { certificate: readCertificate(socket) };
    this.#known.set(socket, known);
    return known.certificate;
  }
}

/** Undefined unless the client proved to have a certificate of our CA. */
function readCertificate(socket: TLSSocket): ClientCertificate | undefined {
  if (!socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  return { commonName: [subject?.CN ?? ""].flat()[0] ?? "", organizations: [subject?.O ?? []].flat() };
}

function refusal(error: TesseraError): ApiResponse {
  const status = toStatus(error);
  return jsonResponse(status, status.code);
}

/** The first of the client's protocols that is understood. */
function chooseProtocol(request: IncomingMessage, understood: readonly string[]): string | TesseraError {
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((protocol) => protocol.trim());
  const chosen = offered.find((protocol) => understood.includes(protocol));
  return (
    chosen ??
    new TesseraError("BadRequest", `unknown WebSocket subprotocols ${offered.join(", ")}; understood are ${understood.join(", ")}`)
  );
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

async function send(request: IncomingMessage, response: ServerResponse, answer: ApiResponse): Promise<void> {
  const { body, status } = answer;
  const headers: OutgoingHttpHeaders = { "cache-control": "no-cache, private", ...answer.headers };
  if (Buffer.isBuffer(body)) {
    const compressed = body.length > minGzipBytes && acceptsGzip(request) ? await compress(body) : undefined;
    const sent = compressed ?? body;
    response.writeHead(status, { ...headers, ...(compressed === undefined ? {} : gzipHeaders), "content-length": sent.length });
    response.end(sent);
    return;
  }
  if (answer.live !== true && acceptsGzip(request)) {
    response.writeHead(status, { ...headers, ...gzipHeaders });
    await pipeline(body, createGzip({ level: constants.Z_BEST_SPEED }), response);
    return;
  }
  response.writeHead(status, answer.length === undefined ? headers : { ...headers, "content-length": answer.length });
  if (answer.live === true) response.flushHeaders();
  let isClosed = false;
  response.once("close", () => {
    isClosed = true;
  });
  for await (const piece of body) {
    if (isClosed) return;
    if (!response.write(piece)) await writable(response, () => isClosed);
  }
  response.end();
}

const gzipHeaders = { "content-encoding": "gzip", vary: "accept-encoding" };

function acceptsGzip(request: IncomingMessage): boolean {
  return /(^|,)\s*gzip\s*(;(?!\s*q=0(\.0*)?\s*($|,))|,|$)/i.test(request.headers["accept-encoding"] ?? "");
}

/** Resolves when the response takes more, or is gone. */
function writable(response: ServerResponse, isClosed: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.once("drain", done).once("close", done);
    if (isClosed()) done();
  });
}

function compress(body: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    gzip(body, { level: constants.Z_BEST_SPEED }, (error, result) => (error === null ? resolve(result) : reject(error)));
  });
}

/** An ordinary answer to a request that wanted to upgrade. */
async function sendOnSocket(request: IncomingMessage, socket: Duplex, answer: ApiResponse): Promise<void> {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket as Socket);
  response.once("finish", () => socket.end());
  await send(request, response, answer);
}

function toContext({ ca, cert, key }: HttpsServerOptions["tls"]): SecureContextOptions {
  // Machines that join know the CA by the digest of its key, and look for it in what the server shows.
  return { ca, cert: `${cert}${ca}`, key, minVersion: "TLSv1.2" };
}

interface Listener {
  readonly server: Http2SecureServer;
  readonly sockets: Set<TLSSocket>;
  /** Those of the sockets that speak HTTP/2. */
  readonly sessions: Set<ServerHttp2Session>;
}

function keep<T extends { once(event: "close", listener: () => void): unknown }>(all: Set<T>, one: T): void {
  all.add(one);
  one.once("close", () => all.delete(one));
}

/** A watch may be silent for long; a connection without any request need not be kept. */
function closeWhenIdle(session: ServerHttp2Session): void {
  let streams = 0;
  session.on("stream", (stream) => {
    streams += 1;
    stream.once("close", () => {
      streams -= 1;
    });
  });
  session.setTimeout(idleTimeoutMs, () => {
    if (streams === 0) session.close();
  });
}

async function closeServer({ server, sockets, sessions }: Listener): Promise<void> {
  const closed = once(server, "close");
  // Idle connections of HTTP/1.1 end with this.
  server.close();
  for (const session of sessions) session.close();
  const timer = setTimeout(() => {
    for (const socket of sockets) socket.destroy();
  }, drainTimeoutMs);
  await closed;
  clearTimeout(timer);
}

/** "127.0.0.1:6443", "[::1]:6443". */
export function parseHostPort(address: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw new Error(`${JSON.stringify(address)} is not HOST:PORT`);
  return { host: match[1] ?? match[2] ?? "", port };
}

export function formatHostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
