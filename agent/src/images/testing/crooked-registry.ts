import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Blob, BuiltImage } from "./image-content.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A registry in memory that misbehaves on demand. */
export class CrookedRegistry {
  /** "GET /v2/..." with the Authorization header after it, if there was one. */
  readonly requests: string[] = [];
  /** Connections that began with something other than HTTP, as TLS does. */
  greetings = 0;
  readonly #server: Server;
  readonly #contents = new Map<string, { bytes: Buffer; type: string }>();
  readonly #handlers = new Map<string, Handler>();

  private constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#server.on("clientError", (_error, socket) => {
      this.greetings++;
      socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
  }

  static async start(): Promise<CrookedRegistry> {
    const registry = new CrookedRegistry();
    registry.#server.listen(0, "127.0.0.1");
    await once(registry.#server, "listening");
    return registry;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  add(path: string, tag: string, image: BuiltImage): void {
    for (const { digest, bytes } of image.blobs) this.put(`/v2/${path}/blobs/${digest}`, bytes);
    for (const reference of [tag, image.manifest.digest]) this.putManifest(path, reference, image.manifest.bytes, image.manifest.mediaType);
  }

  putManifest(path: string, reference: string, bytes: Buffer, type: string): void {
    this.put(`/v2/${path}/manifests/${reference}`, bytes, type);
  }

  put(path: string, bytes: Buffer, type = "application/octet-stream"): void {
    this.#contents.set(path, { bytes, type });
  }

  /** Answers requests for this path in another way from now on. */
  handle(path: string, handler: Handler): void {
    this.#handlers.set(path, handler);
  }

  /** Answers as a sound registry does, without ranges. */
  serve(request: IncomingMessage, response: ServerResponse): void {
    const found = this.#contents.get(request.url ?? "");
    if (found === undefined)
      response.writeHead(404, { "content-type": "application/json" }).end('{"errors":[{"code":"UNKNOWN","message":"unknown"}]}');
    else response.writeHead(200, { "content-type": found.type, "content-length": found.bytes.length }).end(found.bytes);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "";
    this.requests.push([request.method, path, request.headers.authorization].filter((part) => part !== undefined).join(" "));
    const handler = this.#handlers.get(path);
    if (handler) handler(request, response);
    else this.serve(request, response);
  }
}

/** The path of an image's blob, the configuration being number 0. */
export function blobPath(path: string, image: BuiltImage, number: number): string {
  return `/v2/${path}/blobs/${blobOf(image, number).digest}`;
}

export function blobOf(image: BuiltImage, number: number): Blob {
  const blob = image.blobs[number];
  if (blob === undefined) throw new Error(`no blob ${number}`);
  return blob;
}
