import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import type { Credentials } from "../auth/authenticate.ts";

/** A request, free of the protocol version that it came by. */
export interface ApiRequest {
  readonly method: string;
  /** Percent-encoded, as sent. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
  readonly credentials: Credentials;
  /** IP address that the request came from; "" when it is not known any more. */
  readonly remoteAddress: string;
  /** Aborted when the client is gone or the server stops. Made when it is first looked at: most requests are answered without it. */
  readonly signal: AbortSignal;
}

/** What to answer. A body that is an iterable is sent piece by piece, each only when the one before has left. */
export interface ApiResponse {
  readonly status: number;
  readonly headers: { readonly [name: string]: string | string[] };
  readonly body: Buffer | AsyncIterable<Buffer>;
  /** Bytes of a body that is an iterable, if they are known: saves the framing of each piece. */
  readonly length?: number;
  /** Pieces must not wait for more to be compressed or sent (watches, followed logs). */
  readonly live?: boolean;
}

export const jsonType = "application/json";

export function jsonResponse(value: unknown, status = 200, contentType = jsonType): ApiResponse {
  return { status, headers: { "content-type": contentType }, body: Buffer.from(JSON.stringify(value)) };
}

export function textResponse(text: string, status = 200): ApiResponse {
  return { status, headers: { "content-type": "text/plain; charset=utf-8" }, body: Buffer.from(text) };
}

/** Adds `Warning: 299 - "text"` headers, which kubectl shows. */
export function withWarnings(response: ApiResponse, warnings: readonly string[]): ApiResponse {
  if (warnings.length === 0) return response;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: header values must not hold any
  const lines = warnings.map((text) => `299 - "${text.replace(/[\\"]/g, "\\$&").replace(/[\x00-\x1f\x7f]/g, " ")}"`);
  return { ...response, headers: { ...response.headers, warning: lines } };
}
