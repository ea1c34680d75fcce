/** HTTP over one TLS connection at the least cost, so that the load generator leaves the processor to the server. */
import { connect, type TLSSocket } from "node:tls";
import type { Access } from "./api-client.ts";

const headEnd = Buffer.from("\r\n\r\n");

/** One request at a time. */
export class RawConnection {
  readonly #socket: TLSSocket;
  readonly #host: string;
  #received: Buffer[] = [];
  #length = 0;
  /** Of the whole answer; unknown until its head was read. */
  #wanted: number | undefined;
  #status = 0;
  #settle: { resolve: (bytes: number) => void; reject: (error: Error) => void } | undefined;

  private constructor(socket: TLSSocket, host: string) {
    this.#socket = socket;
    this.#host = host;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#settle?.reject(error));
    socket.on("close", () => this.#settle?.reject(new Error("the server closed the connection")));
  }

  static async open({ server, ...credentials }: Access): Promise<RawConnection> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const socket = connect({ host: server.hostname, port: Number(server.port), ...credentials }, resolve);
    socket.once("error", reject);
    await promise;
    socket.off("error", reject);
    return new RawConnection(socket, server.host);
  }

  /** Resolves with the size of the answer; throws unless it is a 2xx. */
  async request(method: string, path: string, body = ""): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#settle = { resolve, reject };
    const content = body === "" ? "" : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`;
    this.#socket.write(`${method} ${path} HTTP/1.1\r\nhost: ${this.#host}\r\n${content}\r\n${body}`);
    return await promise;
  }

  close(): void {
    this.#settle = undefined;
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    this.#received.push(chunk);
    this.#length += chunk.length;
    if (this.#wanted === undefined) this.#readHead();
    if (this.#wanted === undefined || this.#length < this.#wanted) return;
    const size = this.#length;
    const settle = this.#settle;
    const refused = this.#status >= 300 ? Buffer.concat(this.#received).toString("utf8") : undefined;
    this.#received = [];
    this.#length = 0;
    this.#wanted = undefined;
    if (refused === undefined) settle?.resolve(size);
    else settle?.reject(new Error(refused));
  }

  #readHead(): void {
    const received = this.#received.length === 1 ? this.#received[0] : Buffer.concat(this.#received);
    const end = received?.indexOf(headEnd) ?? -1;
    if (received === undefined || end < 0) return;
    const head = received.toString("latin1", 0, end);
    this.#status = Number(head.slice("HTTP/1.1 ".length, "HTTP/1.1 200".length));
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined) {
      this.#settle?.reject(new Error(`an answer without Content-Length: ${head}`));
      return;
    }
    this.#wanted = end + headEnd.length + Number(length);
  }
}
