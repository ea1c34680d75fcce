import type { Socket } from "node:net";
import { type PortOutput, type PortSession, RuntimeError } from "./runtime.ts";
import { cancelled, errorOf } from "./shim-client.ts";
import { encodeFrame, FieldWriter, type Frame, type FrameName, FrameReader, frames, maxData, ProtocolError } from "./shim-protocol.ts";

const step = "connect to port";
/** The connection is all this session's; its request bears this number. */
const sessionRequest = 1;

/**
 * A connection to a port of the pod, over a connection to its shim of its own. What comes is handed on piece by piece; while the receiver
 * takes its time nothing is read, and the pod's program has to wait.
 */
export class ShimForward implements PortSession {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  #isOver = false;

  /** Resolves when the pod's program has accepted; throws what the shim says otherwise. */
  static async start(socket: Socket, port: number, output: PortOutput, signal: AbortSignal): Promise<ShimForward> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const session = new ShimForward(socket, output, resolve, signal);
    session.closed.catch(reject);
    session.#send("CONNECT", new FieldWriter().u32("PORT", port).finish());
    await promise;
    return session;
  }

  private constructor(socket: Socket, output: PortOutput, connected: () => void, signal: AbortSignal) {
    this.#socket = socket;
    const onAbort = () => socket.destroy();
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("error", () => {});
    if (signal.aborted) onAbort();
    this.closed = this.#receive(output, connected)
      .catch((error: unknown) => {
        if (signal.aborted) throw cancelled(step, signal);
        throw error instanceof RuntimeError
          ? error
          : new RuntimeError("NotFound", `${step}: the connection to the pod's shim ended`, { step, cause: error });
      })
      .finally(() => {
        this.#isOver = true;
        signal.removeEventListener("abort", onAbort);
        socket.destroy();
      });
    // Whoever never asks for the end is not to be punished for it.
    this.closed.catch(() => {});
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length && !this.#isOver; at += maxData) {
      if (!this.#send("STDIN", chunk.subarray(at, at + maxData))) await this.#drained();
    }
  }

  end(): void {
    this.#send("STDIN_END");
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #send(type: FrameName, payload?: Uint8Array): boolean {
    if (this.#isOver || this.#socket.destroyed) return true;
    return this.#socket.write(encodeFrame(type, sessionRequest, payload));
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#socket.off("drain", done).off("close", done);
        resolve();
      };
      this.#socket.on("drain", done).on("close", done);
    });
  }

  /** Resolves when both directions have ended: then the shim hangs up. */
  async #receive(output: PortOutput, connected: () => void): Promise<void> {
    const reader = new FrameReader();
    let hasEnded = false;
    for await (const chunk of this.#socket) {
      for (const frame of reader.push(chunk as Buffer)) hasEnded = (await take(frame, output, connected)) || hasEnded;
    }
    if (!hasEnded) throw new RuntimeError("NotFound", `${step}: the connection to the pod's shim ended`, { step });
  }
}

/** True for the last word of the pod's side. */
async function take(frame: Frame, output: PortOutput, connected: () => void): Promise<boolean> {
  switch (frame.type) {
    case frames.OK:
      connected();
      return false;
    case frames.STDOUT:
      await output.data(frame.payload);
      return false;
    case frames.STDOUT_END:
      await output.end();
      return true;
    case frames.ERROR:
      throw errorOf(frame);
    default:
      throw new ProtocolError(`frame ${frame.type} on the way from a port`);
  }
}
