import { SpdySession } from "../spdy/spdy-session.ts";
import type { SpdyStream } from "../spdy/spdy-stream.ts";
import { type ForwardTarget, forward } from "./forwarded-connection.ts";

/*
 * Kubernetes' port forwarding in SPDY: for each connection the client opens two streams with the headers "port" and "requestid", one with
 * "streamtype: error", on which it only listens, and one with "streamtype: data".
 */

const maxConnections = 256;
const pairTimeoutMs = 30_000;
const stallTimeoutMs = 30_000;

interface Half {
  readonly type: "error" | "data";
  readonly port: number;
  readonly request: string;
}

/** Serves the tunnel until the client ends it. Rejects when the client breaks the protocol. */
export async function serveTunnel(
  bytes: AsyncIterable<Buffer>,
  send: (bytes: Buffer) => Promise<void>,
  target: ForwardTarget,
): Promise<void> {
  using connections = new Connections(target);
  using session = new SpdySession({
    send,
    onStream: (stream, id) => connections.take(stream, id),
    maxStreams: 2 * maxConnections,
    stallTimeoutMs,
  });
  for await (const chunk of bytes) await session.receive(chunk);
}

/** Brings the two streams of each connection together. */
class Connections implements Disposable {
  readonly #target: ForwardTarget;
  readonly #waiting = new Map<string, { readonly half: Half; readonly stream: SpdyStream; readonly timer: NodeJS.Timeout }>();
  /** Also those whose streams are gone, until their node knows. */
  #underWay = 0;

  constructor(target: ForwardTarget) {
    this.#target = target;
  }

  /** What to do with the stream, or undefined when it is of no use. */
  take(stream: SpdyStream, id: number): (() => void) | undefined {
    const half = parseHalf(stream, id);
    if (half === undefined || this.#underWay + this.#waiting.size >= maxConnections) return undefined;
    const key = `${half.request} ${half.port}`;
    const other = this.#waiting.get(key);
    if (other === undefined) return () => this.#wait(key, half, stream);
    if (other.half.type === half.type) return undefined;
    return () => {
      this.#forget(key);
      const [error, data] = half.type === "data" ? [other.stream, stream] : [stream, other.stream];
      void this.#forward(half.port, error, data);
    };
  }

  [Symbol.dispose](): void {
    for (const key of [...this.#waiting.keys()]) this.#forget(key);
  }

  #wait(key: string, half: Half, stream: SpdyStream): void {
    const timer = setTimeout(() => {
      this.#forget(key);
      stream.reset();
    }, pairTimeoutMs);
    this.#waiting.set(key, { half, stream, timer });
    stream.broken.addEventListener("abort", () => this.#waiting.get(key)?.stream === stream && this.#forget(key), { once: true });
  }

  #forget(key: string): void {
    clearTimeout(this.#waiting.get(key)?.timer);
    this.#waiting.delete(key);
  }

  async #forward(port: number, error: SpdyStream, data: SpdyStream): Promise<void> {
    this.#underWay += 1;
    try {
      await forward(this.#target, {
        port,
        input: data,
        broken: data.broken,
        write: (bytes) => data.write(bytes),
        endOutput: () => data.end(),
        fail: (message) => error.write(Buffer.from(message)),
      });
    } finally {
      this.#underWay -= 1;
      // Clients wait for the end of the error stream, also when nothing went wrong.
      await error.end().catch(() => undefined);
      data.reset();
    }
  }
}

function parseHalf(stream: SpdyStream, id: number): Half | undefined {
  const type = stream.headers.get("streamtype");
  const port = Number(stream.headers.get("port"));
  if ((type !== "error" && type !== "data") || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  // Clients of old give no number; theirs are opened one after the other, the error stream first.
  const request = stream.headers.get("requestid") ?? String(type === "error" ? id : id - 2);
  return { type, port, request };
}
