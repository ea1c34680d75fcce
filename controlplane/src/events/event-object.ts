import { createHash, randomUUID } from "node:crypto";
import type { Event } from "@tessera/proto";
import type { EventRecord, InvolvedObject } from "./events.ts";

/** Occurrences of one thing, not stored yet. */
export interface Occurrences {
  readonly subject: string;
  /** The name and uid that the Event gets if it is the first of its kind. */
  readonly eventName: string;
  readonly eventUid: string;
  /** The first of them. */
  readonly record: EventRecord;
  count: number;
  lastTimeMs: number;
  /** After an attempt to store them whose outcome is unknown: what they were folded into, so that a second attempt is the same message. */
  base?: { readonly stored: StoredEvent | undefined };
}

/** An Event as the stream holds it. */
export interface StoredEvent {
  readonly event: Event;
  /** Somebody has deleted it; what happens again is another Event. The message stays for those who watch, until the stream forgets it. */
  readonly isDeleted: boolean;
  /** Of its message in the stream. */
  readonly sequence: number;
}

export const subjectPrefix = "tessera.events";

/** Events of cluster-scoped objects are kept where Kubernetes keeps them. */
const namespaceOfClusterScoped = "default";

/** As in Kubernetes; what is longer would not fit into a message of NATS at some length. */
const maxMessageLength = 1_024;

export function firstOccurrence(told: EventRecord): Occurrences {
  const record = { ...told, message: told.message.slice(0, maxMessageLength) };
  const subject = subjectOf(record);
  const eventUid = randomUUID();
  // Unique also when the same thing happens again after its Event has expired.
  const eventName = `${record.involved.name.slice(0, 230)}.${eventUid.replaceAll("-", "").slice(0, 16)}`;
  return { subject, eventName, eventUid, record, count: 1, lastTimeMs: record.timeMs };
}

/** One subject per thing that happens, of which the stream keeps the last message: the Event with its count. */
export function subjectOf({ involved, type, reason, message, source }: EventRecord): string {
  const what = [involved.apiVersion, involved.uid, involved.fieldPath, type, reason, message, source.component, source.host];
  const hash = createHash("sha256").update(JSON.stringify(what)).digest("hex").slice(0, 20);
  const namespace = involved.namespace || namespaceOfClusterScoped;
  return [subjectPrefix, toToken(namespace), toToken(involved.kind), toToken(involved.name), hash].join(".");
}

/** The subject of an Event that somebody else has made: what happens again is theirs to count, under the Event's name. */
export function subjectOfObject({ metadata, involvedObject }: Event): string {
  const hash = createHash("sha256")
    .update(`object ${metadata?.name ?? ""}`)
    .digest("hex")
    .slice(0, 20);
  const { kind = "", name = "" } = involvedObject ?? {};
  return [subjectPrefix, toToken(metadata?.namespace ?? ""), toToken(kind), toToken(name), hash].join(".");
}

/** Matches the subjects of a namespace ("" for all), and of like objects in it. */
export function subjectFilter(namespace: string, involved: InvolvedObject = {}): string {
  const tokens = [namespace || undefined, involved.kind, involved.name].map((text) => (text === undefined ? "*" : toToken(text)));
  return [subjectPrefix, ...tokens, "*"].join(".");
}

/** A NATS subject's token must not be empty, nor hold ".", "*", ">" or spaces: all but the usual characters become "=XX". */
export function toToken(text: string): string {
  if (text === "") return "=";
  return text.replace(/[^A-Za-z0-9_-]/g, (character) =>
    Buffer.from(character)
      .toString("hex")
      .replace(/../g, (byte) => `=${byte}`),
  );
}

const deletedKind = "DeletedEvent";

/** The stream's message that takes the place of an Event that is deleted. */
export function encodeDeleted(event: Event): string {
  return JSON.stringify({ kind: deletedKind, event });
}

/** What a message of the stream says. Throws when it is neither an Event nor the word of a deleted one. */
export function decodeMessage(data: Uint8Array): Pick<StoredEvent, "event" | "isDeleted"> {
  const value: unknown = JSON.parse(Buffer.from(data).toString());
  if (isOfKind(value, deletedKind) && "event" in value && isOfKind(value.event, "Event")) return { event: value.event, isDeleted: true };
  if (isOfKind(value, "Event")) return { event: value, isDeleted: false };
  throw new Error("not an Event");
}

function isOfKind(value: unknown, kind: string): value is Event {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === kind;
}

/** The Event after these occurrences; `before` is what they come upon. */
export function foldEvent(before: StoredEvent | undefined, occurrences: Occurrences): Event {
  const known = before?.isDeleted === false ? before.event : undefined;
  const lastTimestamp = toTimestamp(occurrences.lastTimeMs);
  if (known !== undefined) return { ...known, count: (known.count ?? 1) + occurrences.count, lastTimestamp };
  const { involved, type, reason, message, source, timeMs } = occurrences.record;
  const firstTimestamp = toTimestamp(timeMs);
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: {
      name: occurrences.eventName,
      namespace: involved.namespace || namespaceOfClusterScoped,
      uid: occurrences.eventUid,
      creationTimestamp: firstTimestamp,
    },
    involvedObject: { ...involved },
    reason,
    message,
    source: { ...source },
    firstTimestamp,
    lastTimestamp,
    count: occurrences.count,
    type,
    reportingComponent: source.component,
    reportingInstance: source.host ?? "",
  };
}

function toTimestamp(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\.\d+Z$/, "Z");
}
