import { status as grpcStatus, type ServiceError } from "@grpc/grpc-js";
import { TesseraError } from "@tessera/proto";
import type { Exit, StreamFrame } from "@tessera/proto/node";
import type { StreamCall } from "../session/node-session.ts";

export const MAX_DATA_BYTES = 64 * 1024;

/** The other end of a stream, with backpressure both ways. */
export class StreamPeer {
  readonly #call: StreamCall;
  readonly #gone = new AbortController();
  #drained: PromiseWithResolvers<void> | undefined;

  constructor(call: StreamCall) {
    this.#call = call;
    call.on("drain", () => {
      this.#drained?.resolve();
      this.#drained = undefined;
    });
    call.on("error", (error: ServiceError) => {
      // The reader of `frames` hears of it as well; here it ends whoever writes.
      this.#gone.abort(new TesseraError("ServiceUnavailable", `the stream was lost: ${error.details}`, { cause: error }));
      this.#drained?.resolve();
    });
    call.on("status", ({ code }) => {
      if (code !== grpcStatus.OK) this.#gone.abort();
    });
  }

  /** Aborted when the other end is gone. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** What the other end sends, until it ends its side. Throws when the stream is lost. */
  async *frames(): AsyncGenerator<NonNullable<StreamFrame["frame"]>> {
    // A reader that has read enough must not take the stream down: its answer still has to go out.
    const iterator: AsyncIterable<StreamFrame> = this.#call.iterator({ destroyOnReturn: false });
    for await (const { frame } of iterator) if (frame !== undefined) yield frame;
  }

  /** Sends output in pieces that the protocol allows; resolves when more may be sent. */
  async send(kind: "stdout" | "stderr", chunk: Uint8Array): Promise<void> {
    for (let start = 0; start < chunk.length; start += MAX_DATA_BYTES) {
      await this.#write({ $case: kind, value: Buffer.from(chunk.subarray(start, start + MAX_DATA_BYTES)) });
    }
  }

  /** Says that no more output comes, while input may. */
  async endOutput(): Promise<void> {
    await this.#write({ $case: "stdoutClosed", value: {} });
  }

  /** The last frame. */
  async exit(exit: Partial<Exit>): Promise<void> {
    if (this.signal.aborted) return;
    await this.#write({ $case: "exit", value: { reason: "", message: "", ...exit } });
    this.#call.end();
    // Whatever else comes is read away, or the call would never be over.
    this.#call.resume();
  }

  async #write(frame: NonNullable<StreamFrame["frame"]>): Promise<void> {
    this.signal.throwIfAborted();
    if (this.#call.write({ frame })) return;
    this.#drained ??= Promise.withResolvers();
    await this.#drained.promise;
  }

  /** Drops the stream without a word: what was to be said cannot be said any more. */
  cancel(): void {
    this.#call.cancel();
  }
}
