import type { Readable } from "node:stream";
import type { ObjectMeta } from "@tessera/proto";
import type { WebSocket } from "ws";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface RequestOptions {
  readonly query?: Query;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly stream?: Readable;
  /** Of what is sent; JSON unless given. */
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal;
}

/** A Kubernetes API server. Every refusal is a TesseraError with the reason of the server's Status. */
export interface Api {
  /** "https://127.0.0.1:6443" */
  readonly server: string;
  /** Asks and reads the whole answer as JSON. */
  request<T>(method: Method, path: string, options?: RequestOptions): Promise<T>;
  /** Asks and hands over the answer's body as it comes. */
  open(method: Method, path: string, options?: RequestOptions): Promise<Readable>;
  /** Opens a WebSocket, paused: resume it when listening. `protocols` in the order of preference. */
  websocket(path: string, query: string, protocols: readonly string[], signal?: AbortSignal): Promise<WebSocket>;
  close(): void;
}

/** A Kubernetes object of any kind. */
export interface ApiObject {
  apiVersion?: string;
  kind?: string;
  metadata?: ObjectMeta;
  [field: string]: unknown;
}

export interface ApiList<T = ApiObject> {
  apiVersion?: string;
  kind?: string;
  metadata?: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
  items?: T[];
}
