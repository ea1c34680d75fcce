import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Leak, untilStable } from "./doctor.ts";
import { findStrangers, parseInventory } from "./inventory.ts";

const leak = (name: string): Leak => ({ where: "dev/node-1", kind: "link", name, podUid: "u" });

/** Each look finds what comes next in the list, the last one for ever. */
function looks(...results: Leak[][]): { look: () => Promise<Leak[]>; count: () => number } {
  let count = 0;
  return { look: async () => results[Math.min(count++, results.length - 1)] ?? [], count: () => count };
}
const quick = { stableMs: 30, deadlineMs: 200, everyMs: 5 };

describe("the doctor", () => {
  it("returns after one look that finds nothing", async () => {
    const { look, count } = looks([]);
    assert.deepEqual(await untilStable(look, quick), []);
    assert.equal(count(), 1);
  });

  it("does not tell what a pod on its way had for a moment", async () => {
    const { look, count } = looks([leak("a")], [leak("a")], []);
    assert.deepEqual(await untilStable(look, quick), []);
    assert.equal(count(), 3);
  });

  it("tells what stays", async () => {
    const { look } = looks([leak("a"), leak("b")], [leak("b")]);
    assert.deepEqual(await untilStable(look, quick), [leak("b")]);
  });

  it("ends at its deadline while pods keep coming and going, and tells only what stayed", async () => {
    let n = 0;
    const found = await untilStable(async () => [leak(`passing-${n++}`), leak("stays")], quick);
    assert.deepEqual(found, [leak("stays")]);
  });

  it("takes what belongs to no pod of that node for a stranger", () => {
    const items = [
      { kind: "cgroup", name: "a", podUid: "here" },
      { kind: "cgroup", name: "b", podUid: "elsewhere" },
      { kind: "mount", name: "c", podUid: "gone" },
      { kind: "link", name: "d", podUid: "" },
    ];
    const pods = [
      { metadata: { uid: "here" }, spec: { nodeName: "node-1" } },
      { metadata: { uid: "elsewhere" }, spec: { nodeName: "node-2" } },
    ];
    assert.deepEqual(
      findStrangers(items, pods, "node-1").map((item) => item.name),
      ["b", "c", "d"],
    );
  });

  for (const text of ["", "{}", "[1]", '[{"kind":"link"}]', "null"]) {
    it(`refuses the inventory ${JSON.stringify(text)}`, () =>
      assert.throws(() => parseInventory(text, "node-1"), {
        reason: "InternalError",
        message: /^node-1: the inventory is not what tsctl expects/,
      }));
  }
});
