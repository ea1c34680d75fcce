import type { WebSocket } from "ws";

/** A request that becomes a two-way stream: exec, attach. */
export interface Connection {
  /** WebSocket subprotocols that are understood, best first. */
  readonly protocols: readonly string[];
  /** Serves the stream until it ends; must not throw. */
  run(socket: WebSocket, protocol: string): Promise<void>;
  /** Called instead of `run` when the client's upgrade cannot be accepted. */
  refused(): void;
}

export function isConnection<T extends object>(answer: T | Connection): answer is Connection {
  return "protocols" in answer;
}
