import { randomBytes } from "node:crypto";
import { type ServerDuplexStream, status } from "@grpc/grpc-js";
import { type StatusReason, TesseraError } from "@tessera/proto";
import type { OpenStream, StreamFrame, StreamRefused } from "@tessera/proto/node";
import type { Clock } from "../controllers/clock.ts";
import type { NodeStream } from "./node-streams.ts";

export type StreamCall = ServerDuplexStream<StreamFrame, StreamFrame>;

/** Somebody waits for an agent to dial in. */
interface Waiter {
  readonly node: string;
  readonly settle: (outcome: StreamCall | TesseraError) => void;
}

/** Reasons that an agent may give; what is not among them becomes InternalError. */
const REFUSALS: ReadonlySet<string> = new Set<StatusReason>([
  "BadRequest",
  "NotFound",
  "Forbidden",
  "Invalid",
  "Conflict",
  "Gone",
  "Timeout",
  "TooManyRequests",
  "InternalError",
  "ServiceUnavailable",
]);

/** Brings together who asked a node for a stream and the call by which its agent answers. */
export class StreamBroker {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #waiters = new Map<string, Waiter>();
  constructor(deps: { clock: Clock; timeoutMs: number }) {
    this.#clock = deps.clock;
    this.#timeoutMs = deps.timeoutMs;
  }

  /** Asks by `ask`, which returns how to take the question back, and waits for the agent's call. Rejects with "Timeout", with the agent's refusal, or with `lost`'s error. */
  async open(
    node: string,
    request: NonNullable<OpenStream["request"]>,
    ask: (message: OpenStream) => () => void,
    signal: AbortSignal,
  ): Promise<NodeStream> {
    signal.throwIfAborted();
    // 128 random bits: nobody can guess the stream of another.
    const streamId = randomBytes(16).toString("hex");
    const { promise, resolve, reject } = Promise.withResolvers<StreamCall>();
    const settle = (outcome: StreamCall | TesseraError): void => (outcome instanceof TesseraError ? reject(outcome) : resolve(outcome));
    this.#waiters.set(streamId, { node, settle });
    const cancelTimer = this.#clock.after(this.#timeoutMs, () =>
      settle(new TesseraError("Timeout", `the agent of node "${node}" did not open the stream within ${this.#timeoutMs} ms`)),
    );
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    const withdraw = ask({ streamId, request });
    try {
      return new AgentStream(node, await promise, signal);
    } finally {
      withdraw();
      cancelTimer();
      signal.removeEventListener("abort", abort);
      this.#waiters.delete(streamId);
    }
  }

  /** The agent of `node` dials. Throws TesseraError when nobody waits for it: the id is unknown, too late, or another node's. */
  accept(node: string, streamId: string, call: StreamCall): void {
    const waiter = this.#waiters.get(streamId);
    if (!waiter) throw new TesseraError("NotFound", "nobody waits for this stream");
    if (waiter.node !== node) throw new TesseraError("Forbidden", `this stream was not asked of node "${node}"`);
    this.#waiters.delete(streamId);
    waiter.settle(call);
  }

  /** The agent of `node` will not dial. */
  refuse(node: string, refused: StreamRefused): void {
    const waiter = this.#waiters.get(refused.streamId);
    if (waiter?.node !== node) return;
    const reason = REFUSALS.has(refused.reason) ? (refused.reason as StatusReason) : "InternalError";
    waiter.settle(new TesseraError(reason, refused.message || `the agent of node "${node}" refused the stream`));
  }

  /** The node's session is over: who waits need not wait longer. */
  lost(node: string): void {
    for (const waiter of this.#waiters.values()) if (waiter.node === node) waiter.settle(lostError(node));
  }
}

/** One call of an agent, seen from the control plane. */
class AgentStream implements NodeStream {
  readonly frames: AsyncIterable<StreamFrame>;
  readonly #node: string;
  readonly #call: StreamCall;
  #lost = false;
  #closed = false;
  /** The agent has said its last word. */
  #exited = false;

  constructor(node: string, call: StreamCall, signal: AbortSignal) {
    this.#node = node;
    this.#call = call;
    this.frames = this.#receive();
    call.once("cancelled", () => {
      this.#lost = true;
    });
    const abort = (): void => this.close();
    signal.addEventListener("abort", abort, { once: true });
    call.once("close", () => signal.removeEventListener("abort", abort));
  }

  async send(frame: StreamFrame): Promise<void> {
    if (this.#lost || this.#closed || this.#call.destroyed) throw lostError(this.#node);
    if (this.#call.write(frame)) return;
    await new Promise<void>((resolve, reject) => {
      const settle = (): void => {
        this.#call.off("drain", settle);
        this.#call.off("close", settle);
        if (this.#call.destroyed) reject(lostError(this.#node));
        else resolve();
      };
      this.#call.once("drain", settle);
      this.#call.once("close", settle);
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Given up before its end, the call is cancelled, which tells the agent to end what serves it: a command that nobody waits for any more.
    if (!this.#exited && !this.#lost) {
      refuseCall(this.#call, status.CANCELLED, "the caller has gone");
      return;
    }
    if (!this.#lost) this.#call.end();
    // What the agent still sends is not wanted any more, but must be read for the call to end.
    this.#call.resume();
  }

  async *#receive(): AsyncGenerator<StreamFrame> {
    try {
      for await (const frame of this.#call.iterator({ destroyOnReturn: false })) {
        this.#exited ||= (frame as StreamFrame).frame?.$case === "exit";
        yield frame as StreamFrame;
        if (this.#exited) return;
      }
    } catch (error) {
      if (this.#closed) return;
      this.#lost = true;
      throw lostError(this.#node, error);
    }
    if (this.#closed) return;
    // Ended without an exit frame.
    this.#lost = true;
    throw lostError(this.#node);
  }
}

/** Ends a call that nobody takes. */
export function refuseCall(call: StreamCall, code: status, details: string): void {
  call.emit("error", { code, details });
}

function lostError(node: string, cause?: unknown): TesseraError {
  return new TesseraError("ServiceUnavailable", `the connection to node "${node}" is lost`, { cause });
}
