import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { EventReport, NodeMessage } from "@tessera/proto/node";
import { Outbox } from "./outbox.ts";

const POD = { uid: "u1", namespace: "default", name: "a" };
const OTHER = { uid: "u2", namespace: "default", name: "b" };

function event(message: string): EventReport {
  return { kind: "Pod", ...POD, type: "Normal", reason: "Started", message, time: "", fieldPath: "" };
}

/** Each message in a word: kind, pod and phase. */
function takeAll(outbox: Outbox): string[] {
  const words: string[] = [];
  for (let taken = outbox.take(); taken !== undefined; taken = outbox.take()) words.push(describeMessage(taken));
  return words;
}

function describeMessage({ message }: NodeMessage): string {
  switch (message?.$case) {
    case "podStatus":
      return `status ${message.value.name} ${(JSON.parse(message.value.status.toString()) as { phase: string }).phase}`;
    case "podGone":
      return `gone ${message.value.name}`;
    case "event":
      return `event ${message.value.message}`;
    default:
      return message?.$case ?? "nothing";
  }
}

describe("outbox", () => {
  it("keeps only the newest status of each pod", () => {
    const outbox = new Outbox();
    outbox.status(POD, { phase: "Pending" });
    outbox.status(OTHER, { phase: "Pending" });
    outbox.status(POD, { phase: "Running" });
    assert.deepEqual(takeAll(outbox), ["status a Running", "status b Pending"]);
    assert.deepEqual(takeAll(outbox), []);
  });

  it("says a pod's last status before its end, and then forgets it", () => {
    const outbox = new Outbox();
    outbox.status(POD, { phase: "Succeeded" });
    outbox.gone(POD);
    assert.deepEqual(takeAll(outbox), ["status a Succeeded", "gone a"]);
    outbox.restart();
    assert.deepEqual(takeAll(outbox), []);
  });

  it("says every status again to a new session, but no refusal to the old one", () => {
    const outbox = new Outbox();
    outbox.status(POD, { phase: "Running" });
    assert.deepEqual(takeAll(outbox), ["status a Running"]);
    outbox.refuse("s1", "NotFound", "no such pod");
    outbox.restart();
    assert.deepEqual(takeAll(outbox), ["status a Running"]);
  });

  it("drops the oldest Events when nobody takes them, and counts them", () => {
    const outbox = new Outbox();
    for (let number = 0; number < 2003; number += 1) outbox.event(event(String(number)));
    const words = takeAll(outbox);
    assert.deepEqual([words.length, words[0], words.at(-1)], [2000, "event 3", "event 2002"]);
    assert.deepEqual([outbox.takeDropped(), outbox.takeDropped()], [3, 0]);
  });

  it("puts what people wait for before Events", () => {
    const outbox = new Outbox();
    outbox.event(event("e"));
    outbox.nodeStatus(Buffer.from("{}"));
    outbox.status(POD, { phase: "Running" });
    outbox.refuse("s1", "NotFound", "no such pod");
    assert.deepEqual(takeAll(outbox), ["streamRefused", "status a Running", "nodeStatus", "event e"]);
  });

  it("tells the session that there is something", () => {
    const outbox = new Outbox();
    let filled = 0;
    outbox.onFilled(() => {
      filled += 1;
    });
    outbox.status(POD, { phase: "Running" });
    outbox.event(event("e"));
    outbox.onFilled(undefined);
    outbox.gone(POD);
    assert.equal(filled, 2);
  });
});
