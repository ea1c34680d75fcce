import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { gunzipSync } from "node:zlib";

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
export type Json = any;

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** As it came over the wire. */
  readonly bytes: Buffer;
  /** The body as JSON, decompressed; undefined if it is none. */
  readonly json: Json;
  readonly text: string;
}

export interface RequestOptions {
  readonly body?: unknown;
  readonly headers?: { readonly [name: string]: string };
}

/** A client of one API server, with one identity. */
export class HttpClient {
  readonly #url: string;
  readonly #agent: Agent;
  readonly #headers: { readonly [name: string]: string };

  constructor(options: { url: string; ca: string; cert?: string; key?: string; token?: string }) {
    const { url, token, ...tls } = options;
    this.#url = url;
    this.#agent = new Agent({ ...tls, keepAlive: true, maxSockets: 64 });
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  }

  /** Sends JSON unless the headers say otherwise (then the body is text or bytes). */
  async send(method: string, path: string, { body, headers = {} }: RequestOptions = {}): Promise<Answer> {
    const response = await this.open(method, path, { body, headers });
    const pieces: Buffer[] = [];
    for await (const piece of response) pieces.push(piece as Buffer);
    const bytes = Buffer.concat(pieces);
    const plain = response.headers["content-encoding"] === "gzip" ? gunzipSync(bytes) : bytes;
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      bytes,
      text: plain.toString(),
      json: parseJson(plain.toString()),
    };
  }

  /** The answer as soon as its headers are there. */
  async open(method: string, path: string, { body, headers = {} }: RequestOptions = {}): Promise<IncomingMessage> {
    const isText = typeof body === "string" || Buffer.isBuffer(body) || (typeof body === "object" && body !== null && "pipe" in body);
    const call = request(this.#url + path, {
      method,
      agent: this.#agent,
      headers: { ...this.#headers, ...(body === undefined || isText ? {} : { "content-type": "application/json" }), ...headers },
    });
    if (typeof body === "object" && body !== null && "pipe" in body) (body as Readable).pipe(call);
    else if (body === undefined) call.end();
    else {
      const bytes = Buffer.from(isText ? (body as string | Buffer) : JSON.stringify(body));
      // Node sends a DELETE's body without saying how long it is.
      call.setHeader("content-length", bytes.length).end(bytes);
    }
    const [response] = (await once(call, "response")) as [IncomingMessage];
    return response;
  }

  get(path: string, headers?: { readonly [name: string]: string }): Promise<Answer> {
    return this.send("GET", path, { headers });
  }

  post(path: string, body: unknown): Promise<Answer> {
    return this.send("POST", path, { body });
  }

  patch(path: string, type: "json" | "merge" | "strategic-merge", body: unknown): Promise<Answer> {
    return this.send("PATCH", path, { body, headers: { "content-type": `application/${type}-patch+json` } });
  }

  /** Starts a watch; read it with `next`. */
  async watch(path: string, headers?: { readonly [name: string]: string }): Promise<Watch> {
    return new Watch(await this.open("GET", path, { headers }));
  }

  close(): void {
    this.#agent.destroy();
  }
}

export interface WatchLine {
  readonly type: string;
  readonly object: Json;
}

/** A watch under way, line by line. */
export class Watch implements Disposable {
  readonly status: number;
  readonly #response: IncomingMessage;
  readonly #lines: AsyncIterator<string>;

  constructor(response: IncomingMessage) {
    this.#response = response;
    this.status = response.statusCode ?? 0;
    this.#lines = createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]();
  }

  /** The next event; undefined at the end. */
  async next(): Promise<WatchLine | undefined> {
    const { done, value } = await this.#lines.next();
    return done === true ? undefined : (JSON.parse(value) as WatchLine);
  }

  /** The next events as "TYPE name". */
  async take(count: number): Promise<string[]> {
    const result: string[] = [];
    while (result.length < count) {
      const line = await this.next();
      if (line === undefined) break;
      result.push(`${line.type} ${line.object.metadata?.name ?? line.object.reason}`);
    }
    return result;
  }

  [Symbol.dispose](): void {
    this.#response.destroy();
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
