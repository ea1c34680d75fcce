import type { Socket } from "node:net";
import { type ExecOutput, type ExecSession, RuntimeError } from "./runtime.ts";
import { cancelled, errorOf } from "./shim-client.ts";
import {
  encodeFrame,
  Fields,
  FieldWriter,
  type Frame,
  type FrameName,
  FrameReader,
  frames,
  maxData,
  ProtocolError,
} from "./shim-protocol.ts";

/** The connection is all this session's; its request bears this number. */
const sessionRequest = 1;

function lost(cause?: unknown): RuntimeError {
  const why = "the shim is gone, or nobody took the output of an attached container";
  return new RuntimeError("NotFound", `exec: the connection to the container's shim ended: ${why}`, { step: "exec", cause });
}

export interface SessionRequest {
  readonly type: "EXEC" | "ATTACH";
  readonly payload: Uint8Array;
}

/**
 * A process of its own (exec) or the container's first one (attach), over a connection of its own. Output is handed on
 * one piece after the other; while the receiver takes its time nothing is read, so the shim stops reading the process,
 * and after a while lets an attached session go. Closing the connection kills an exec's process.
 */
export class ShimSession implements ExecSession {
  readonly exited: Promise<{ readonly exitCode: number }>;
  readonly #socket: Socket;
  readonly #kill: (pid: number) => void;
  #pid = 0;
  #ended = false;

  /** Sends the request and resolves when the process runs, or is attached to; throws what the shim says otherwise. */
  static async start(
    socket: Socket,
    request: SessionRequest,
    output: ExecOutput,
    parts: { readonly kill: (pid: number) => void; readonly signal: AbortSignal },
  ): Promise<ShimSession> {
    const session = new ShimSession(socket, parts.kill);
    const started = session.#run(output, parts.signal);
    session.#send(request.type, request.payload);
    await started;
    return session;
  }

  private constructor(socket: Socket, kill: (pid: number) => void) {
    this.#socket = socket;
    this.#kill = kill;
    this.exited = new Promise((resolve, reject) => {
      this.#resolveExited = resolve;
      this.#rejectExited = reject;
    });
    // Whoever never asks for the end is not to be punished for it.
    this.exited.catch(() => {});
  }

  #resolveExited: (end: { exitCode: number }) => void = () => {};
  #rejectExited: (error: unknown) => void = () => {};

  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length && !this.#ended; at += maxData) {
      if (!this.#send("STDIN", chunk.subarray(at, at + maxData))) await this.#drained();
    }
  }

  closeStdin(): void {
    this.#send("STDIN_END");
  }

  resize(columns: number, rows: number): void {
    this.#send("RESIZE", new FieldWriter().u32("COLUMNS", columns).u32("ROWS", rows).finish());
  }

  kill(): void {
    if (!this.#ended) this.#kill(this.#pid);
  }

  #send(type: FrameName, payload?: Uint8Array): boolean {
    if (this.#ended || this.#socket.destroyed) return true;
    return this.#socket.write(encodeFrame(type, sessionRequest, payload));
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#socket.off("drain", done);
        this.#socket.off("close", done);
        resolve();
      };
      this.#socket.on("drain", done);
      this.#socket.on("close", done);
    });
  }

  #run(output: ExecOutput, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => this.#socket.destroy(cancelled("exec", signal));
    signal.addEventListener("abort", onAbort, { once: true });
    this.#socket.on("error", () => {});
    this.#receive(output, resolve)
      .then(
        (exitCode) => this.#resolveExited({ exitCode }),
        (error: unknown) => {
          const fault = signal.aborted ? cancelled("exec", signal) : error instanceof RuntimeError ? error : lost(error);
          reject(fault);
          this.#rejectExited(fault);
        },
      )
      .finally(() => {
        this.#ended = true;
        signal.removeEventListener("abort", onAbort);
        this.#socket.destroy();
      });
    return promise;
  }

  /** Returns the exit code; what the receiver of the output throws ends the exec. */
  async #receive(output: ExecOutput, started: () => void): Promise<number> {
    const reader = new FrameReader();
    for await (const chunk of this.#socket) {
      for (const frame of reader.push(chunk as Buffer)) {
        const exitCode = await this.#take(frame, output, started);
        if (exitCode !== undefined) return exitCode;
      }
    }
    throw lost();
  }

  async #take(frame: Frame, output: ExecOutput, started: () => void): Promise<number | undefined> {
    switch (frame.type) {
      case frames.EXEC_STARTED:
        this.#pid = new Fields(frame.payload).u32("PID");
        started();
        return undefined;
      case frames.OK:
        started();
        return undefined;
      case frames.STDOUT:
        await deliver(() => output.stdout(frame.payload));
        return undefined;
      case frames.STDERR:
        await deliver(() => output.stderr(frame.payload));
        return undefined;
      case frames.EXEC_EXITED:
        return new Fields(frame.payload).u32("EXIT_CODE");
      case frames.EXITED:
        return new Fields(frame.payload).all("CONTAINER_STATE")[0]?.u32("EXIT_CODE");
      case frames.ERROR:
        throw errorOf(frame);
      default:
        throw new ProtocolError(`frame ${frame.type} in a session`);
    }
  }
}

async function deliver(hand: () => void | Promise<void>): Promise<void> {
  try {
    await hand();
  } catch (cause) {
    throw new RuntimeError("Cancelled", "exec: the receiver of the output gave up", { step: "exec", cause });
  }
}
