import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { ManualClock } from "../controllers/testing/fakes.ts";
import { PodCidrs } from "./pod-cidrs.ts";
import { TestControlPlane } from "./testing/test-control-plane.ts";

let plane: TestControlPlane;
before(async () => {
  plane = await TestControlPlane.start();
});
after(() => plane[Symbol.asyncDispose]());
beforeEach(() => plane.clear());

const clock = new ManualClock();
/** Every test its own range: claims are kept for ever. */
const allocator = (clusterCidr: string, nodeCidrBits = 24) =>
  new PodCidrs({ store: plane.store, nodes: plane.registry.nodes.cache, clock, clusterCidr, nodeCidrBits });

test("blocks are given in order, each node keeps its own, whoever asks", async () => {
  const cidrs = allocator("10.1.0.0/22");
  assert.deepEqual(await Promise.all(["a1", "a2", "a1", "a3"].map((node) => cidrs.claim(node, undefined))), [
    "10.1.0.0/24",
    "10.1.1.0/24",
    "10.1.0.0/24",
    "10.1.2.0/24",
  ]);
  assert.equal(await allocator("10.1.0.0/22").claim("a2", undefined), "10.1.1.0/24");
});

test("a range need not begin at its first address, and blocks may have any length", async () => {
  const cidrs = allocator("10.2.3.77/26", 28);
  assert.equal(await cidrs.claim("b1", undefined), "10.2.3.64/28");
  assert.equal(await cidrs.claim("b2", undefined), "10.2.3.80/28");
});

test("the block that a Node has already is claimed for it, and is nobody else's", async () => {
  const cidrs = allocator("10.3.0.0/22");
  assert.equal(await cidrs.claim("c1", "10.3.0.0/24"), "10.3.0.0/24");
  assert.equal(await cidrs.claim("c2", undefined), "10.3.1.0/24");
  await assert.rejects(cidrs.claim("c3", "10.3.0.0/24"), {
    reason: "Conflict",
    message: 'the pod addresses 10.3.0.0/24 of node "c3" belong to node "c1"',
  });
  await plane.registry.nodes.create({ metadata: { name: "by-hand" }, spec: { podCIDR: "10.3.2.0/24" } });
  await plane.registry.nodes.cache.waitFor(await plane.store.currentRevision());
  assert.equal(await cidrs.claim("c4", undefined), "10.3.3.0/24");
});

test("only when none is free, the block of a node that has long been gone is given away", async () => {
  const cidrs = allocator("10.4.0.0/23");
  assert.equal(await cidrs.claim("gone", undefined), "10.4.0.0/24");
  assert.equal(await cidrs.claim("here", undefined), "10.4.1.0/24");
  await plane.registry.nodes.create({ metadata: { name: "here" }, spec: { podCIDR: "10.4.1.0/24" } });
  await plane.registry.nodes.cache.waitFor(await plane.store.currentRevision());
  const dry = {
    reason: "ServiceUnavailable",
    message: 'no pod addresses are left for node "new": all 2 blocks of /24 in 10.4.0.0/23 are taken',
  };
  await assert.rejects(cidrs.claim("new", undefined), dry);
  clock.advance(10 * 60_000);
  await assert.rejects(cidrs.claim("new", undefined), dry, "a node may be on its way back");
  clock.advance(1);
  assert.equal(await cidrs.claim("new", undefined), "10.4.0.0/24");
  await assert.rejects(cidrs.claim("gone", undefined), { reason: "ServiceUnavailable" });
});

test("a claim that is used again is not given away by who knows only the old one", async () => {
  const [ours, theirs] = [allocator("10.5.0.0/24"), allocator("10.5.0.0/24")];
  assert.equal(await ours.claim("back", undefined), "10.5.0.0/24");
  clock.advance(20 * 60_000);
  await assert.rejects(theirs.claim("x", "10.5.0.0/24"), { reason: "Conflict" }, "theirs has read the claims");
  assert.equal(await ours.claim("back", undefined), "10.5.0.0/24");
  await assert.rejects(theirs.claim("new", undefined), { reason: "ServiceUnavailable" });
});

test("a range that cannot be divided is refused at once", () => {
  for (const [range, bits] of [
    ["10.0.0.0/24", 16],
    ["10.0.0.300/16", 24],
    ["fd00::/48", 64],
    ["10.0.0.0/16", 31],
  ] as const) {
    assert.throws(() => allocator(range, bits), { reason: "Invalid" }, range);
  }
});
