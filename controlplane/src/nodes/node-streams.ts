import type { OpenStream, StreamFrame } from "@tessera/proto/node";

/** A two-way stream to an agent, for exec, logs and image uploads. */
export interface NodeStream {
  /** Resolves when the frame may be followed by another (backpressure). Rejects when the stream is gone. */
  send(frame: StreamFrame): Promise<void>;
  /** What the agent sends; ends after its exit frame. A lost connection throws TesseraError "ServiceUnavailable": never mistaken for an end. */
  readonly frames: AsyncIterable<StreamFrame>;
  close(): void;
}

export interface NodeStreams {
  /**
   * Asks the node's agent for a stream and waits until it dials in; an agent that has just gone may come back first. Throws TesseraError:
   * "ServiceUnavailable" when the node has no session for longer than its grace, "Timeout" when it does not answer, or the agent's own refusal.
   */
  open(nodeName: string, request: NonNullable<OpenStream["request"]>, signal: AbortSignal): Promise<NodeStream>;
}
