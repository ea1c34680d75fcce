import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event } from "@tessera/proto";
import { eventDefinition } from "./event.ts";
import { eventsV1Definition, toEventsV1 } from "./events-v1.ts";

const now = Date.parse("2030-01-01T01:00:00Z");
const event: Event = {
  metadata: { name: "web.1", namespace: "shop" },
  involvedObject: { kind: "Pod", namespace: "shop", name: "web", fieldPath: "spec.containers{main}" },
  reason: "Unhealthy",
  message: "Readiness probe failed\n",
  type: "Warning",
  source: { component: "tessera-agent", host: "node-1" },
  firstTimestamp: "2030-01-01T00:00:00Z",
  lastTimestamp: "2030-01-01T00:59:30Z",
  count: 4,
};

function row<T>(
  { columns }: { columns: readonly { name: string; priority?: number; cell: (object: T, nowMs: number) => unknown }[] },
  object: T,
) {
  return Object.fromEntries(columns.map(({ name, cell }) => [name, cell(object, now)]));
}

const shown = {
  "Last Seen": "30s",
  Type: "Warning",
  Reason: "Unhealthy",
  Object: "pod/web",
  Subobject: "spec.containers{main}",
  Source: "tessera-agent, node-1",
  Message: "Readiness probe failed",
  "First Seen": "60m",
  Count: 4,
  Name: "web.1",
};

test("an Event's row says when, what, of whom, by whom and how often", () => {
  assert.deepEqual(row(eventDefinition, event), shown);
  const short = eventDefinition.columns.filter(({ priority }) => !priority).map(({ name }) => name);
  assert.deepEqual(short, ["Last Seen", "Type", "Reason", "Object", "Message"]);
});

test("its row is the same in the other group", () => assert.deepEqual(row(eventsV1Definition, toEventsV1(event)), shown));

test("a series counts for itself", () => {
  const { Count } = row(eventDefinition, { ...event, series: { count: 9 } });
  assert.equal(Count, 9);
  assert.equal(row(eventDefinition, { ...event, count: undefined })["Count"], 1);
});
