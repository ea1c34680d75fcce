import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

type Mode = "pass" | "drop-answers" | "stall" | "refuse";

/** A bad network before a real server: answers get lost, requests get stuck, connections are cut. */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  readonly #frozen = new WeakSet<Socket>();
  #mode: Mode = "pass";
  #seen = Promise.withResolvers<void>();

  static async to(url: string): Promise<TcpProxy> {
    const proxy = new TcpProxy(new URL(url));
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  private constructor(target: URL) {
    this.#target = target;
    this.#server = createServer((client) => this.#join(client));
  }

  get url(): string {
    return `${this.#target.protocol}//127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  /** Requests arrive, their answers do not. */
  dropAnswers(): void {
    this.#become("drop-answers");
  }

  /** Nothing passes any more, in either direction. */
  stall(): void {
    this.#become("stall");
  }

  /** Ends all connections, and new ones at once, until `cut`. */
  refuse(): void {
    this.#become("refuse");
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Nothing passes any more on the connection that was opened last; the others, and new ones, pass. */
  freezeNewest(): void {
    for (const socket of [...this.#sockets].slice(-2)) this.#frozen.add(socket);
  }

  /** Resolves when an answer has been dropped: the request is done. */
  droppedAnswer(): Promise<void> {
    return this.#seen.promise;
  }

  /** Resolves when a request is stuck. */
  stalledBytes(): Promise<void> {
    return this.#seen.promise;
  }

  /** Ends all connections; new ones pass again. */
  cut(): void {
    this.#become("pass");
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #become(mode: Mode): void {
    this.#mode = mode;
    this.#seen = Promise.withResolvers();
  }

  #join(client: Socket): void {
    if (this.#mode === "refuse") {
      client.destroy();
      return;
    }
    const server = connect(Number(this.#target.port), this.#target.hostname);
    const pass = (from: Socket, to: Socket, lost: readonly Mode[]): void => {
      this.#sockets.add(from);
      from.on("data", (chunk) => {
        if (this.#frozen.has(from)) return;
        if (!lost.includes(this.#mode)) to.write(chunk);
        // Settings and pings of HTTP/2 are smaller than any request's data.
        else if (chunk.length > 60) this.#seen.resolve();
      });
      from.on("error", () => {});
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    };
    pass(client, server, ["stall"]);
    pass(server, client, ["stall", "drop-answers"]);
  }
}
