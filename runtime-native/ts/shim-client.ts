import { Socket } from "node:net";
import { getSystemErrorMessage } from "node:util";
import { RuntimeError, type RuntimeErrorReason } from "./runtime.ts";
import type { ShimConnection } from "./shim-connection.ts";
import { decodeError } from "./shim-messages.ts";
import { encodeFrame, Fields, type Frame, type FrameName, FrameReader, frames, ProtocolError } from "./shim-protocol.ts";

/** Node's own table goes by negative numbers; it knows every errno the shim can meet. */
function errorText(errno: number): string {
  return errno === 0 ? "" : getSystemErrorMessage(-errno);
}

/** Opens a connection to a shim. Throws NotFound when nobody listens: the shim is gone. */
export async function connectShim(path: string, signal: AbortSignal, socket = new Socket()): Promise<Socket> {
  throwIfCancelled(signal, "connect to shim");
  socket.connect({ path });
  try {
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => reject(cancelled("connect to shim", signal));
      signal.addEventListener("abort", onAbort, { once: true });
      socket.once("connect", () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      });
      socket.once("error", (cause: NodeJS.ErrnoException) => {
        signal.removeEventListener("abort", onAbort);
        const gone = cause.code === "ENOENT" || cause.code === "ECONNREFUSED";
        reject(failure(gone ? "NotFound" : "Internal", `connect to ${path}: ${cause.message}`, "connect to shim", cause));
      });
    });
  } catch (error) {
    socket.on("error", () => {});
    socket.destroy();
    throw error;
  }
  return socket;
}

export function cancelled(step: string, signal: AbortSignal): RuntimeError {
  return new RuntimeError("Cancelled", `${step}: cancelled`, { step, cause: signal.reason });
}

export function throwIfCancelled(signal: AbortSignal, step: string): void {
  if (signal.aborted) throw cancelled(step, signal);
}

function failure(reason: RuntimeErrorReason, message: string, step: string, cause?: unknown): RuntimeError {
  return new RuntimeError(reason, message, { step, cause });
}

/** What an ERROR frame says. */
export function errorOf(frame: Frame): RuntimeError {
  return decodeError(new Fields(frame.payload), errorText);
}

interface Pending {
  resolve(frame: Frame): void;
  reject(error: Error): void;
}

/**
 * A connection on which requests are asked and events are told. Requests may overlap; each is answered once.
 * When the connection ends, all that wait for an answer fail, then `onClose` is called.
 */
export class ShimClient {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #onEvent: (frame: Frame) => void;
  readonly #onClose: () => void;
  #lastRequest = 0;
  #isClosed = false;

  constructor(connection: ShimConnection, handlers: { readonly onEvent: (frame: Frame) => void; readonly onClose: () => void }) {
    const { socket } = connection;
    this.#socket = socket;
    this.#onEvent = handlers.onEvent;
    this.#onClose = handlers.onClose;
    const reader = new FrameReader();
    let fault: Error | undefined;
    connection.onData = (chunk) => {
      try {
        for (const frame of reader.push(chunk)) this.#take(frame);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        socket.destroy(error);
      }
    };
    socket.on("error", (error) => {
      fault = error;
    });
    socket.on("close", () => this.#end(fault));
  }

  /** Resolves with the answer, whose fields are read by the caller; an ERROR is thrown. A late answer to a cancelled one is dropped. */
  async request(type: FrameName, payload: Uint8Array, signal?: AbortSignal): Promise<Fields> {
    const step = `ask shim for ${type}`;
    if (signal) throwIfCancelled(signal, step);
    if (this.#isClosed) throw failure("NotFound", `${step}: the shim is gone`, step);
    this.#lastRequest = (this.#lastRequest % 0xffffffff) + 1;
    const request = this.#lastRequest;
    const { promise, resolve, reject } = Promise.withResolvers<Frame>();
    const onAbort = () => reject(signal && cancelled(step, signal));
    this.#pending.set(request, { resolve, reject });
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      this.#socket.write(encodeFrame(type, request, payload));
      const frame = await promise;
      if (frame.type === frames.ERROR) throw errorOf(frame);
      return new Fields(frame.payload);
    } finally {
      this.#pending.delete(request);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Ends the connection; the shim lives on. `onClose` is called as well. */
  close(): void {
    this.#socket.destroy();
  }

  #take(frame: Frame): void {
    if (frame.request === 0) this.#onEvent(frame);
    else this.#pending.get(frame.request)?.resolve(frame);
  }

  #end(fault: Error | undefined): void {
    this.#isClosed = true;
    for (const pending of this.#pending.values())
      pending.reject(failure("NotFound", `the connection to the shim ended${fault ? `: ${fault.message}` : ""}`, "ask shim", fault));
    this.#onClose();
  }
}
