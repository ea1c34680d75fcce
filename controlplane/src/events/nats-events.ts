import type { Event } from "@tessera/proto";
import type { Logger } from "pino";
import type { EventRecord, EventSink, EventSource } from "./events.ts";
import type { NatsLink } from "./nats-link.ts";

export interface NatsEventsDependencies {
  readonly nats: NatsLink;
  readonly log: Logger;
  /** How long events are kept, default 7 days. */
  readonly maxAgeMs?: number;
  /** Size of the stream on disk, default 256 MiB; the oldest go first. */
  readonly maxBytes?: number;
}

/** Events in a JetStream stream. `record` may be called before and after `run`. */
export class NatsEvents implements EventSink, EventSource {
  constructor(_dependencies: NatsEventsDependencies) {}
  record(_event: EventRecord): void {}
  list(_namespace: string): Promise<{ items: Event[]; resourceVersion: string }> {
    throw new Error("not written yet");
  }
  watch(_namespace: string, _resourceVersion: string, _signal: AbortSignal): AsyncIterable<{ type: "ADDED" | "MODIFIED"; object: Event }> {
    throw new Error("not written yet");
  }
  /** Creates the stream, sends what is queued and follows the stream until aborted. */
  async run(_signal: AbortSignal): Promise<void> {}
}
