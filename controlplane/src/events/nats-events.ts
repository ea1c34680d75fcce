import { setTimeout as delay } from "node:timers/promises";
import { type Event, isCancellation, TesseraError } from "@tessera/proto";
import type { JetStreamManager, NatsConnection } from "nats";
import type { Logger } from "pino";
import {
  decodeMessage,
  encodeDeleted,
  foldEvent,
  type Occurrences,
  type StoredEvent,
  subjectFilter,
  subjectOfObject,
  subjectPrefix,
} from "./event-object.ts";
import { EventQueue, KnownEvents } from "./event-queue.ts";
import { followStream, listStream, type StreamMessage } from "./event-stream.ts";
import type { EventChange, EventRecord, EventSink, EventStore, InvolvedObject } from "./events.ts";
import type { NatsLink } from "./nats-link.ts";

export interface NatsEventsDependencies {
  readonly nats: NatsLink;
  readonly log: Logger;
  /** How long events are kept, default 7 days. */
  readonly maxAgeMs?: number;
  /** Size of the stream on disk, default 256 MiB; the oldest go first. */
  readonly maxBytes?: number;
  /** Events that may wait for NATS, repeated ones counted once, default 10,000. */
  readonly queueLimit?: number;
}

export const streamName = "TESSERA_EVENTS";

const requestTimeoutMs = 1_000;
const listTimeoutMs = 5_000;
/** A reader's patience with a NATS that is away: it is back at once, or not soon. */
const reconnectTimeoutMs = 500;
/** Sent without waiting for the answers in between. */
const batchSize = 256;
/** JetStream's error code for "wrong last sequence". */
const wrongLastSequence = 10_071;

/**
 * Events in a JetStream stream that keeps the last message of each subject, and has a subject for each thing that happens: the message is the
 * Event object with its count, so that readers get what is stored and nothing has to be folded again.
 *
 * Every message is stored only upon the sequence of the one that it replaces. So a message sent twice (its answer was lost) counts once, and
 * two control planes that tell of the same thing count it twice.
 */
export class NatsEvents implements EventSink, EventStore {
  readonly #nats: NatsLink;
  readonly #log: Logger;
  readonly #limits: { readonly maxAgeMs: number; readonly maxBytes: number };
  readonly #queue: EventQueue;
  readonly #known = new KnownEvents(10_000);
  #streamIsThere = false;

  constructor(dependencies: NatsEventsDependencies) {
    this.#nats = dependencies.nats;
    this.#log = dependencies.log;
    const { maxAgeMs = 7 * 24 * 3600 * 1000, maxBytes = 256 * 1024 * 1024, queueLimit = 10_000 } = dependencies;
    this.#limits = { maxAgeMs, maxBytes };
    this.#queue = new EventQueue(queueLimit);
  }

  /** May be called before `run`. */
  record(event: EventRecord): void {
    if (this.#queue.push(event)) return;
    this.#log.debug({ reason: event.reason, involved: event.involved }, "event dropped: too many wait for NATS");
  }

  async list(namespace: string, involved: InvolvedObject = {}): Promise<{ items: Event[]; resourceVersion: string }> {
    const signal = AbortSignal.timeout(this.#nats.connected ? listTimeoutMs : reconnectTimeoutMs);
    try {
      const connection = await this.#nats.connection(signal);
      const streams = await this.#ensureStream(connection);
      const filter = subjectFilter(namespace, involved);
      const access = { connection, streams };
      const { messages, lastSequence } = await listStream({ access, stream: streamName, filter, signal });
      const newest = newestOfEach(messages.flatMap((message) => this.#decode(message) ?? []));
      return { items: newest.flatMap(({ event, isDeleted }) => (isDeleted ? [] : [event])), resourceVersion: String(lastSequence) };
    } catch (error) {
      this.#streamIsThere = false;
      throw new TesseraError("ServiceUnavailable", "events cannot be read: NATS does not answer", { cause: error });
    }
  }

  async *watch(namespace: string, resourceVersion: string, signal: AbortSignal): AsyncGenerator<EventChange> {
    const after = Number(resourceVersion === "" ? 0 : resourceVersion);
    if (!Number.isSafeInteger(after) || after < 0) throw new TesseraError("BadRequest", `invalid resourceVersion "${resourceVersion}"`);
    const access = async () => {
      const connection = await this.#nats.connection(signal);
      return { connection, streams: await this.#ensureStream(connection) };
    };
    const filter = subjectFilter(namespace);
    const options = { access, link: this.#nats, stream: streamName, filter, after, log: this.#log, signal };
    for await (const message of followStream(options)) {
      const stored = this.#decode(message);
      if (stored === undefined) continue;
      const { event: object, isDeleted } = stored;
      yield { type: isDeleted ? "DELETED" : isFirst(object) ? "ADDED" : "MODIFIED", object };
    }
  }

  async create(event: Event): Promise<Event> {
    const { name = "" } = event.metadata ?? {};
    const subject = subjectOfObject(event);
    return await this.#write(
      event,
      async (streams) => {
        const before = await readLast(streams, subject);
        return { subject, sequence: before?.isDeleted ? before.sequence : 0 };
      },
      () => new TesseraError("AlreadyExists", `events ${JSON.stringify(name)} already exists`, { details: { name, kind: "events" } }),
    );
  }

  async replace(event: Event): Promise<Event> {
    return await this.#writeUpon(event, (stored) => JSON.stringify(stored));
  }

  async remove(event: Event): Promise<void> {
    await this.#writeUpon(event, encodeDeleted);
  }

  /** Writes in the place of the state with the Event's resourceVersion. */
  async #writeUpon(event: Event, encode: (stored: Event) => string): Promise<Event> {
    const { name = "", resourceVersion = "" } = event.metadata ?? {};
    const sequence = Number(resourceVersion);
    const what = `Operation cannot be fulfilled on events ${JSON.stringify(name)}: the object has been modified`;
    const conflict = () => new TesseraError("Conflict", what, { details: { name, kind: "events" } });
    const find = async (streams: JetStreamManager) => {
      try {
        return { subject: (await streams.streams.getMessage(streamName, { seq: sequence })).subject, sequence };
      } catch (error) {
        throw isNotFound(error) ? conflict() : error;
      }
    };
    return await this.#write(event, find, conflict, encode);
  }

  /** Stores the Event upon the message that `find` names, and only upon that. */
  async #write(
    event: Event,
    find: (streams: JetStreamManager) => Promise<{ subject: string; sequence: number }>,
    refusal: () => TesseraError,
    encode: (stored: Event) => string = (stored) => JSON.stringify(stored),
  ): Promise<Event> {
    const { resourceVersion: _, ...metadata } = event.metadata ?? {};
    const stored = { ...event, metadata };
    const data = Buffer.from(encode(stored));
    try {
      const connection = await this.#nats.connection(AbortSignal.timeout(this.#nats.connected ? requestTimeoutMs : reconnectTimeoutMs));
      const limit = connection.info?.max_payload ?? data.length;
      if (data.length > limit) throw new TesseraError("RequestEntityTooLarge", `an event must not be larger than ${limit} bytes`);
      const { subject, sequence } = await find(await this.#ensureStream(connection));
      const expect = { streamName, lastSubjectSequence: sequence };
      const answer = await connection.jetstream().publish(subject, data, { timeout: requestTimeoutMs, expect });
      return { ...stored, metadata: { ...metadata, resourceVersion: String(answer.seq) } };
    } catch (error) {
      if (error instanceof TesseraError) throw error;
      if (isWrongSequence(error)) throw refusal();
      this.#streamIsThere = false;
      throw new TesseraError("ServiceUnavailable", "the event may not have been stored: NATS does not answer", { cause: error });
    }
  }

  /** Sends what is queued until aborted, and then what is left if NATS is there. */
  async run(signal: AbortSignal): Promise<void> {
    let unsent: Occurrences[] = [];
    let isTold = false;
    for (let pauseMs = 0; ; ) {
      if (unsent.length === 0) {
        await this.#queue.wait(signal);
        unsent = this.#queue.take(batchSize);
        if (unsent.length === 0) return;
      }
      try {
        if (signal.aborted && !this.#nats.connected) return;
        const connection = await this.#nats.connection(signal.aborted ? AbortSignal.timeout(requestTimeoutMs) : signal);
        unsent = await this.#store(connection, unsent);
        pauseMs = 0;
        if (isTold) this.#log.info("events are stored again");
        isTold = false;
        this.#tellDropped();
      } catch (error) {
        if (signal.aborted) return;
        this.#streamIsThere = false;
        if (!isTold && !isCancellation(error)) this.#log.warn({ err: error, waiting: unsent.length }, "events cannot be stored, trying on");
        isTold = true;
        pauseMs = Math.min(Math.max(pauseMs * 2, 50), 1_000);
        await delay(pauseMs, undefined, { signal }).catch(() => {});
      }
    }
  }

  #tellDropped(): void {
    const dropped = this.#queue.takeDropped();
    if (dropped > 0) this.#log.error({ dropped }, "events were dropped, since too many waited for NATS");
  }

  /** Returns nothing, or throws when one could not be stored; then all may be stored again. */
  async #store(connection: NatsConnection, batch: readonly Occurrences[]): Promise<Occurrences[]> {
    const streams = await this.#ensureStream(connection);
    const outcomes = await Promise.allSettled(batch.map((occurrences) => this.#storeOne(connection, streams, occurrences)));
    const left = batch.filter((_, index) => outcomes[index]?.status === "rejected");
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined && left.length === batch.length) throw failed.reason;
    return left;
  }

  async #storeOne(connection: NatsConnection, streams: JetStreamManager, occurrences: Occurrences): Promise<void> {
    const { subject } = occurrences;
    let base = occurrences.base === undefined ? this.#known.get(subject) : occurrences.base.stored;
    for (let attempt = 0; ; attempt++) {
      const event = foldEvent(base, occurrences);
      const messageId = messageIdOf(event);
      try {
        const answer = await connection.jetstream().publish(subject, JSON.stringify(event), {
          msgID: messageId,
          timeout: requestTimeoutMs,
          expect: { streamName, lastSubjectSequence: base?.sequence ?? 0 },
        });
        this.#known.set(subject, { event, isDeleted: false, sequence: answer.seq });
        return;
      } catch (error) {
        this.#known.delete(subject);
        occurrences.base = { stored: base };
        if (!isWrongSequence(error) || attempt >= 3) throw error;
      }
      base = await readLast(streams, subject);
      if (base === undefined || base.isDeleted || messageIdOf(base.event) !== messageId) continue;
      // Stored by an attempt whose answer was lost.
      this.#known.set(subject, base);
      return;
    }
  }

  async #ensureStream(connection: NatsConnection): Promise<JetStreamManager> {
    const streams = await connection.jetstreamManager({ timeout: requestTimeoutMs, checkAPI: false });
    if (this.#streamIsThere) return streams;
    const config = {
      subjects: [`${subjectPrefix}.>`],
      max_age: this.#limits.maxAgeMs * 1_000_000,
      max_bytes: this.#limits.maxBytes,
      max_msgs_per_subject: 1,
    };
    try {
      await streams.streams.update(streamName, config);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await streams.streams.add({ name: streamName, ...config });
      this.#log.info({ stream: streamName }, "created the stream of events");
    }
    this.#streamIsThere = true;
    return streams;
  }

  #decode({ sequence, data }: StreamMessage): StoredEvent | undefined {
    try {
      const { event, isDeleted } = decodeMessage(data);
      return { event: { ...event, metadata: { ...event.metadata, resourceVersion: String(sequence) } }, isDeleted, sequence };
    } catch (error) {
      this.#log.error({ err: error, sequence }, "a message of the event stream is not an Event, ignored");
      return undefined;
    }
  }
}

/** An Event that changed while it was listed was read twice. */
function newestOfEach(events: readonly StoredEvent[]): StoredEvent[] {
  const newest = new Map<string, StoredEvent>();
  for (const stored of events) {
    const { uid = "" } = stored.event.metadata ?? {};
    newest.delete(uid);
    newest.set(uid, stored);
  }
  return [...newest.values()];
}

/** Whether it has happened once so far. */
function isFirst({ count = 1, series }: Event): boolean {
  return count === 1 && series === undefined;
}

async function readLast(streams: JetStreamManager, subject: string): Promise<StoredEvent | undefined> {
  try {
    const message = await streams.streams.getMessage(streamName, { last_by_subj: subject });
    return { ...decodeMessage(message.data), sequence: message.seq };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** JetStream stores a message of one id only once. */
function messageIdOf(event: Event): string {
  return `${event.metadata?.uid}.${event.count}`;
}

function isWrongSequence(error: unknown): boolean {
  return apiCode(error) === wrongLastSequence;
}

/** No such stream, no such message. */
function isNotFound(error: unknown): boolean {
  return [10_059, 10_037].includes(apiCode(error) ?? 0) || (error as { code?: unknown }).code === "404";
}

function apiCode(error: unknown): number | undefined {
  return (error as { api_error?: { err_code?: number } }).api_error?.err_code;
}
