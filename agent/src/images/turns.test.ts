import assert from "node:assert/strict";
import test from "node:test";
import { Turns } from "./turns.ts";

const never = new AbortController().signal;

test("so many run at once, the others in order", async () => {
  const turns = new Turns(2);
  const log: string[] = [];
  const gates = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
  const works = gates.map((gate, i) =>
    turns.run(never, async () => {
      log.push(`begin ${i}`);
      await gate.promise;
    }),
  );
  await Promise.resolve();
  assert.deepEqual(log, ["begin 0", "begin 1"]);
  gates[1]?.resolve();
  await works[1];
  gates[0]?.reject(new Error("failed"));
  await assert.rejects(works[0] ?? Promise.resolve(), /failed/);
  gates[2]?.resolve();
  gates[3]?.resolve();
  await Promise.all(works.slice(2));
  assert.deepEqual(log, ["begin 0", "begin 1", "begin 2", "begin 3"]);
});

test("who stops waiting takes no turn", async () => {
  const turns = new Turns(1);
  const gate = Promise.withResolvers<void>();
  const first = turns.run(never, () => gate.promise);
  const impatient = new AbortController();
  const second = turns.run(impatient.signal, () => Promise.reject(new Error("ran")));
  const third = turns.run(never, async () => "third");
  impatient.abort();
  await assert.rejects(second, { name: "AbortError" });
  gate.resolve();
  await first;
  assert.equal(await third, "third");
  assert.equal(await turns.run(never, async () => "free again"), "free again");
});
