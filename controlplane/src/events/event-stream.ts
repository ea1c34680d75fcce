import { setTimeout as delay } from "node:timers/promises";
import { TesseraError } from "@tessera/proto";
import { AckPolicy, createInbox, DeliverPolicy, type JetStreamManager, type Msg, type NatsConnection, nanos } from "nats";
import type { Logger } from "pino";
import type { NatsLink } from "./nats-link.ts";

/** One message of a stream. */
export interface StreamMessage {
  readonly sequence: number;
  readonly data: Uint8Array;
}

/** What a stream is read through. */
export interface StreamAccess {
  readonly connection: NatsConnection;
  readonly streams: JetStreamManager;
}

const heartbeatMs = 1_000;
/** Of a consumer for a list, which may be over without a message that says so. The least that NATS takes is 100. */
const listHeartbeatMs = 150;
const silenceMs = 3_000;
const maxPauseMs = 1_000;

/** All messages that match, in order, and the sequence up to which that is true. */
export async function listStream(options: {
  readonly access: StreamAccess;
  readonly stream: string;
  readonly filter: string;
  readonly signal: AbortSignal;
}): Promise<{ messages: StreamMessage[]; lastSequence: number }> {
  const { access, stream, filter, signal } = options;
  const { state } = await access.streams.streams.info(stream);
  let lastSequence = state.last_seq;
  const messages: StreamMessage[] = [];
  const consumer = await openConsumer(access, { stream, filter, after: 0, heartbeatMs: listHeartbeatMs, signal });
  if (consumer.pending === 0) consumer.close();
  for await (const message of consumer.messages) {
    // What was pending at first has been replaced meanwhile, and the count of what is still to come includes it.
    if (message === "idle") return { messages, lastSequence };
    const { sequence, data, pending } = message;
    messages.push({ sequence, data });
    lastSequence = Math.max(lastSequence, sequence);
    if (pending === 0) return { messages, lastSequence };
  }
  if (consumer.pending > 0) throw signal.aborted ? signal.reason : new Error("the consumer ended before its last message");
  return { messages, lastSequence };
}

/**
 * All messages that match, after a sequence, until aborted. Goes on where it was after every loss of the connection. Throws TesseraError
 * "Expired" when the stream has never come to that sequence: it is another stream than the sequence was of.
 */
export async function* followStream(options: {
  /** Waits for a connection, and for the stream. */
  readonly access: () => Promise<StreamAccess>;
  readonly link: NatsLink;
  readonly stream: string;
  readonly filter: string;
  readonly after: number;
  readonly log: Logger;
  readonly signal: AbortSignal;
}): AsyncGenerator<StreamMessage> {
  const { link, stream, filter, log, signal } = options;
  let last = options.after;
  for (let pauseMs = 0; !signal.aborted; ) {
    const lost = new AbortController();
    // NATS forgets a consumer when its connection is lost.
    const unsubscribe = link.onReconnect(() => lost.abort());
    try {
      const access = await options.access();
      const { state } = await access.streams.streams.info(stream);
      if (state.last_seq < last) throw new TesseraError("Expired", `the events are at ${state.last_seq}, not yet at ${last}: list again`);
      const until = AbortSignal.any([signal, lost.signal]);
      const consumer = await openConsumer(access, { stream, filter, after: last, heartbeatMs, signal: until });
      for await (const message of consumer.messages) {
        if (message === "idle") continue;
        const { sequence, data } = message;
        pauseMs = 0;
        last = sequence;
        yield { sequence, data };
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof TesseraError && error.reason === "Expired") throw error;
      log.debug({ err: error, after: last }, "the stream of events cannot be followed, trying on");
    } finally {
      unsubscribe();
    }
    await delay(pauseMs, undefined, { signal }).catch(() => {});
    pauseMs = Math.min(Math.max(pauseMs * 2, 20), maxPauseMs);
  }
}

interface Delivered extends StreamMessage {
  /** Messages that match and are still to come. */
  readonly pending: number;
}

interface Consumer {
  /** When it was opened. */
  readonly pending: number;
  /** "idle": nothing more is there for now. Ends when something is missing, when NATS falls silent, or when aborted: the caller opens another after the last sequence. */
  readonly messages: AsyncIterable<Delivered | "idle">;
  close(): void;
}

/**
 * An ordered push consumer. The client library has ordered consumers too, but they hang for many seconds over a loss of the connection, and
 * leave their server side behind for minutes; this one is removed by NATS as soon as nobody listens.
 */
async function openConsumer(
  { connection, streams }: StreamAccess,
  options: {
    readonly stream: string;
    readonly filter: string;
    readonly after: number;
    readonly heartbeatMs: number;
    readonly signal: AbortSignal;
  },
): Promise<Consumer> {
  const { stream, filter, after, heartbeatMs, signal } = options;
  const inbox = createInbox();
  const subscription = connection.subscribe(inbox);
  const close = (): void => subscription.unsubscribe();
  try {
    const { num_pending: pending } = await streams.consumers.add(stream, {
      deliver_subject: inbox,
      filter_subject: filter,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: after + 1,
      ack_policy: AckPolicy.None,
      max_deliver: 1,
      mem_storage: true,
      num_replicas: 1,
      flow_control: true,
      idle_heartbeat: nanos(heartbeatMs),
    });
    signal.throwIfAborted();
    return { pending, messages: receive(subscription, connection, signal), close };
  } catch (error) {
    close();
    throw error;
  }
}

async function* receive(
  subscription: ReturnType<NatsConnection["subscribe"]>,
  connection: NatsConnection,
  signal: AbortSignal,
): AsyncGenerator<Delivered | "idle"> {
  const close = (): void => subscription.unsubscribe();
  let silence = setTimeout(close, silenceMs);
  signal.addEventListener("abort", close, { once: true });
  try {
    let delivered = 0;
    for await (const message of subscription) {
      clearTimeout(silence);
      if (isControl(message)) {
        if (answerControl(message, connection) === "idle") yield "idle";
      } else {
        const { sequence, delivery, pending } = parseReply(message.reply);
        // A gap: the connection could not keep up, or was lost.
        if (delivery !== ++delivered) return;
        yield { sequence, data: message.data, pending };
      }
      silence = setTimeout(close, silenceMs);
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", close);
    close();
  }
}

/** Heartbeats and flow control come as messages with the status 100. */
function isControl(message: Msg): boolean {
  return message.headers?.code === 100;
}

/** Tells that everything before was received; until then NATS sends only so much. "idle": NATS has sent all that there is. */
function answerControl(message: Msg, connection: NatsConnection): "idle" | undefined {
  const stalled = message.headers?.get("Nats-Consumer-Stalled");
  if (message.reply !== undefined && message.reply !== "") message.respond();
  else if (stalled !== undefined && stalled !== "") connection.publish(stalled);
  else return "idle";
  return undefined;
}

/**
 * JetStream's account of a message is in the subject for its acknowledgement: $JS.ACK, in newer servers a domain and an account, then
 * STREAM.CONSUMER.DELIVERED.STREAM_SEQUENCE.CONSUMER_SEQUENCE.TIME.PENDING, in newer servers a random token.
 */
function parseReply(reply = ""): { sequence: number; delivery: number; pending: number } {
  const tokens = reply.split(".");
  const first = tokens.length > 9 ? 4 : 2;
  const [sequence = Number.NaN, delivery = Number.NaN, , pending = Number.NaN] = tokens.slice(first + 3).map(Number);
  if (![sequence, delivery, pending].every(Number.isSafeInteger)) throw new Error(`not a message of JetStream: ${reply}`);
  return { sequence, delivery, pending };
}
