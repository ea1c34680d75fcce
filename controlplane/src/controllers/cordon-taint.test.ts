import assert from "node:assert/strict";
import { test } from "node:test";
import { cordonTaint, withCordonTaint } from "./cordon-taint.ts";
import { node } from "./testing/builders.ts";
import { eventually } from "./testing/fakes.ts";
import { prepareLoop } from "./testing/run-loop.ts";

const taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

test("a node has the taint for as long as it is cordoned, beside its others", async (t) => {
  const { registry, start } = prepareLoop(t, cordonTaint);
  const other = { key: "gpu", effect: "NoSchedule" };
  await registry.nodes.create(node("a").taint("gpu", "NoSchedule").build());
  await registry.nodes.create(node("shut").cordoned().build());
  const taints = (name: string) => registry.nodes.cache.get("", name)?.value.spec?.taints?.map(({ key, effect }) => ({ key, effect }));
  start();
  await eventually("the one that was cordoned before", () => taints("shut")?.length === 1);
  await registry.nodes.mutate("", "a", (current) => ({ ...current, spec: { ...current.spec, unschedulable: true } }));
  await eventually("cordoned", () => taints("a")?.length === 2);
  assert.deepEqual([taints("a"), taints("shut")], [[other, taint], [taint]]);
  for (const name of ["a", "shut"]) {
    await registry.nodes.mutate("", name, (current) => ({ ...current, spec: { ...current.spec, unschedulable: false } }));
  }
  await eventually("uncordoned", () => taints("a")?.length === 1 && taints("shut") === undefined);
  assert.deepEqual(taints("a"), [other]);
});

test("a node that is as it should be is not written", () => {
  for (const each of [node("a").build(), node("b").taint("gpu", "NoSchedule").build(), withCordonTaint(node("c").cordoned().build())]) {
    assert.equal(withCordonTaint(each), each);
  }
});
