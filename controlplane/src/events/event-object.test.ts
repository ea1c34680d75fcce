import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeMessage, encodeDeleted, firstOccurrence, foldEvent, subjectFilter, subjectOf, toToken } from "./event-object.ts";
import type { EventRecord } from "./events.ts";

const record: EventRecord = {
  involved: { kind: "Pod", apiVersion: "v1", namespace: "default", name: "web", uid: "uid-1" },
  type: "Warning",
  reason: "BackOff",
  message: "restarting failed container",
  source: { component: "tessera-agent", host: "node-1" },
  timeMs: Date.parse("2026-11-21T10:00:00.999Z"),
};

const different: [string, EventRecord][] = [
  ["reason", { ...record, reason: "Killing" }],
  ["message", { ...record, message: "another" }],
  ["type", { ...record, type: "Normal" }],
  ["component", { ...record, source: { ...record.source, component: "tessera-scheduler" } }],
  ["host", { ...record, source: { ...record.source, host: "node-2" } }],
  ["object of the same name", { ...record, involved: { ...record.involved, uid: "uid-2" } }],
  ["container", { ...record, involved: { ...record.involved, fieldPath: "spec.containers{main}" } }],
];

for (const [what, other] of different) {
  test(`another ${what} is another thing that happens`, () => assert.notEqual(subjectOf(other), subjectOf(record)));
}

test("the same thing at another time is the same thing", () => {
  assert.equal(subjectOf({ ...record, timeMs: record.timeMs + 1 }), subjectOf(record));
});

const tokens: [string, string][] = [
  ["web-1_A", "web-1_A"],
  ["", "="],
  ["a.b", "a=2eb"],
  ["*", "=2a"],
  [">", "=3e"],
  ["=", "=3d"],
  ["ü", "=c3=bc"],
];

for (const [text, token] of tokens) {
  test(`"${text}" is the token "${token}"`, () => assert.equal(toToken(text), token));
}

test("filters are as narrow as what is known", () => {
  assert.equal(subjectFilter(""), "tessera.events.*.*.*.*");
  assert.equal(subjectFilter("default", { name: "web.1" }), "tessera.events.default.*.web=2e1.*");
  assert.equal(subjectFilter("default", { kind: "Pod", name: "web" }), "tessera.events.default.Pod.web.*");
});

test("folding keeps the Event's identity and first time, and adds up", () => {
  const first = foldEvent(undefined, firstOccurrence(record));
  const later = { ...firstOccurrence({ ...record, timeMs: record.timeMs + 60_000 }), count: 4, lastTimeMs: record.timeMs + 120_000 };
  const folded = foldEvent({ event: first, isDeleted: false, sequence: 1 }, later);
  assert.deepEqual(folded, { ...first, count: 5, lastTimestamp: "2026-11-21T10:02:00Z" });
  assert.equal(folded.firstTimestamp, "2026-11-21T10:00:00Z");
  assert.equal(first.count, 1, "what was folded into is not changed");
});

test("what happens again after its Event was deleted is another Event", () => {
  const first = foldEvent(undefined, firstOccurrence(record));
  const { event, isDeleted } = decodeMessage(Buffer.from(encodeDeleted(first)));
  assert.deepEqual([event, isDeleted], [first, true]);
  const again = foldEvent({ event, isDeleted, sequence: 1 }, firstOccurrence(record));
  assert.equal(again.count, 1);
  assert.notEqual(again.metadata?.uid, first.metadata?.uid);
});

test("a message that is neither an Event nor the word of a deleted one is refused", () => {
  for (const text of ["{}", '{"kind":"Pod"}', '{"kind":"DeletedEvent"}', '{"kind":"DeletedEvent","event":{"kind":"Pod"}}']) {
    assert.throws(() => decodeMessage(Buffer.from(text)), /not an Event/, text);
  }
});

test("names stay within what a name may be, and differ", () => {
  const long = { ...record, involved: { ...record.involved, name: "x".repeat(253) } };
  const [one, other] = [firstOccurrence(long), firstOccurrence(long)];
  assert.ok(one.eventName.length <= 253);
  assert.notEqual(one.eventName, other.eventName);
});

test("a message is cut at the length that Kubernetes allows", () => {
  const { subject, record: kept } = firstOccurrence({ ...record, message: "x".repeat(3_000_000) });
  assert.equal(kept.message.length, 1_024);
  assert.equal(subject, subjectOf(kept));
});
