import assert from "node:assert/strict";
import { test } from "node:test";
import type { ControlMessage } from "@tessera/proto/node";
import { Outbox } from "./outbox.ts";

function setup() {
  const sent: string[] = [];
  let takesMore = true;
  const outbox = new Outbox(({ message }: ControlMessage) => {
    if (message?.$case === "releasePod") sent.push(message.value.uid);
    return takesMore;
  });
  const say = (subject: string, text = subject) => outbox.add(subject, () => ({ $case: "releasePod", value: { uid: text } }));
  const block = (blocked: boolean) => {
    takesMore = !blocked;
    if (!blocked) outbox.drained();
  };
  return { outbox, sent, say, block };
}
const soon = () => new Promise<void>((resolve) => queueMicrotask(resolve));

test("subjects go out in the order in which they came up, each as it is then", async () => {
  const { sent, say } = setup();
  for (const [subject, text] of Object.entries({ a: "a1", b: "b1" })) say(subject, text);
  say("a", "a2");
  assert.deepEqual(sent, [], "not within the event that says it");
  await soon();
  assert.deepEqual(sent, ["a2", "b1"]);
});

test("while the connection takes no more, one entry per subject waits", async () => {
  const { outbox, sent, say, block } = setup();
  block(true);
  say("first");
  await soon();
  for (let i = 0; i < 1_000; i++) say(`pod-${i % 3}`, `pod-${i % 3} at ${i}`);
  await soon();
  assert.deepEqual(sent, ["first"]);
  assert.equal(outbox.size, 3);
  block(false);
  assert.deepEqual(sent, ["first", "pod-0 at 999", "pod-1 at 997", "pod-2 at 998"]);
});

test("what was taken back, or has become pointless, is not said", async () => {
  const { outbox, sent, say } = setup();
  say("a");
  say("b");
  outbox.withdraw("a");
  outbox.add("c", () => undefined);
  await soon();
  assert.deepEqual(sent, ["b"]);
});

test("after its end nothing is said", async () => {
  const { outbox, sent, say } = setup();
  say("a");
  outbox.close();
  say("b");
  await soon();
  outbox.drained();
  assert.deepEqual(sent, []);
  assert.equal(outbox.size, 0);
});
