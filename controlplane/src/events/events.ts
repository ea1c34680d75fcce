import type { Event } from "@tessera/proto";

/** What happened to whom; becomes an Event object. */
export interface EventRecord {
  readonly involved: {
    readonly kind: string;
    readonly apiVersion: string;
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly fieldPath?: string;
  };
  readonly type: "Normal" | "Warning";
  /** CamelCase word: "Scheduled", "FailedScheduling", "Started". */
  readonly reason: string;
  readonly message: string;
  /** Who says so: { component: "tessera-scheduler" } or { component: "tessera-agent", host: NODE }. */
  readonly source: { readonly component: string; readonly host?: string };
  /** Milliseconds since the epoch. */
  readonly timeMs: number;
}

/** Writers: never throws, never waits; keeps a bounded queue while NATS is away and says in the log what it had to drop. */
export interface EventSink {
  record(event: EventRecord): void;
}

/** Whole Event objects, as clients of the API make and change them, beside those that are recorded. */
export interface EventStore extends EventSource {
  /** Stores a new Event; returns it with its resourceVersion. Throws TesseraError "AlreadyExists", for a name among the Events of one object. */
  create(event: Event): Promise<Event>;
  /** Replaces the state with the Event's resourceVersion. Throws TesseraError "Conflict" when that is not the newest any more. */
  replace(event: Event): Promise<Event>;
  /** Removes the state with the Event's resourceVersion, which watchers hear of. Throws TesseraError "Conflict" when that is not the newest any more. */
  remove(event: Event): Promise<void>;
}

/** Narrows a list to the events of like objects; cheap, however many events there are. */
export interface InvolvedObject {
  readonly kind?: string;
  readonly name?: string;
}

/** An object of "DELETED" is its last state, with the resourceVersion of its removal. */
export interface EventChange {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: Event;
}

/** Readers: the Event objects kept by JetStream, repeated ones folded into one with `count`, `firstTimestamp`, `lastTimestamp`. */
export interface EventSource {
  /** "" for all namespaces; the oldest change first. Throws TesseraError "ServiceUnavailable" while NATS is away. */
  list(namespace: string, involved?: InvolvedObject): Promise<{ items: Event[]; resourceVersion: string }>;
  /** What changes after `resourceVersion` ("0": what is kept, too), until aborted; outlives outages of NATS. */
  watch(namespace: string, resourceVersion: string, signal: AbortSignal): AsyncIterable<EventChange>;
}
