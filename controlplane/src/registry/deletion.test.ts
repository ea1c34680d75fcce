import assert from "node:assert/strict";
import test from "node:test";
import type { Namespace, Pod } from "@tessera/proto";
import { planDeletion } from "./deletion.ts";
import { namespaceDefinition } from "./kinds/namespace.ts";
import { podDefinition } from "./kinds/pod/pod.ts";

const nowMs = Date.parse("2026-01-01T00:00:00Z");

function pod(change: Pod = {}): Pod {
  return {
    metadata: { name: "web", ...change.metadata },
    spec: { nodeName: "node-1", terminationGracePeriodSeconds: 30, ...change.spec },
    status: change.status,
  };
}

function plan(current: Pod, graceSeconds?: number) {
  return planDeletion(podDefinition.strategy, current, { graceSeconds }, nowMs);
}

test("a pod on a node gets its own grace", () => {
  const deletion = plan(pod());
  assert.equal(deletion.do, "write");
  assert.equal(deletion.do === "write" && deletion.next.metadata?.deletionTimestamp, "2026-01-01T00:00:30Z");
  assert.equal(deletion.do === "write" && deletion.next.metadata?.deletionGracePeriodSeconds, 30);
});

test("the request's grace wins over the pod's", () => {
  const deletion = plan(pod(), 5);
  assert.equal(deletion.do === "write" && deletion.next.metadata?.deletionGracePeriodSeconds, 5);
});

for (const [why, current] of [
  ["was never bound", pod({ spec: { nodeName: "" } })],
  ["has succeeded", pod({ status: { phase: "Succeeded" } })],
  ["has failed", pod({ status: { phase: "Failed" } })],
] as const) {
  test(`a pod that ${why} is removed at once`, () => assert.equal(plan(current).do, "remove"));
}

test("grace 0 removes a pod at once", () => assert.equal(plan(pod(), 0).do, "remove"));

const terminating = { deletionTimestamp: "2026-01-01T00:00:20Z", deletionGracePeriodSeconds: 30 };

test("a second wish without grace changes nothing", () => assert.equal(plan(pod({ metadata: terminating })).do, "nothing"));

test("a second wish cannot lengthen the grace", () => assert.equal(plan(pod({ metadata: terminating }), 60).do, "nothing"));

test("a second wish shortens the grace, counted from the first", () => {
  const deletion = plan(pod({ metadata: terminating }), 5);
  assert.equal(deletion.do === "write" && deletion.next.metadata?.deletionTimestamp, "2025-12-31T23:59:55Z");
});

test("a finalizer keeps even a forced pod, with its deletion written down", () => {
  const deletion = plan(pod({ metadata: { finalizers: ["example.com/x"] } }), 0);
  assert.equal(deletion.do, "write");
  assert.equal(deletion.do === "write" && deletion.next.metadata?.deletionGracePeriodSeconds, 0);
});

test("a namespace becomes Terminating and waits for its content", () => {
  const current: Namespace = { metadata: { name: "a" }, spec: { finalizers: ["kubernetes"] }, status: { phase: "Active" } };
  const deletion = planDeletion(namespaceDefinition.strategy, current, {}, nowMs);
  assert.equal(deletion.do === "write" && deletion.next.status?.phase, "Terminating");
  assert.equal(current.status?.phase, "Active");
});

for (const [propagation, before, after] of [
  ["Foreground", [], ["foregroundDeletion"]],
  ["Orphan", ["example.com/x"], ["example.com/x", "orphan"]],
  ["Orphan", ["foregroundDeletion"], ["orphan"]],
  [undefined, ["orphan"], ["orphan"]],
] as const) {
  test(`a wish for ${propagation} makes of finalizers [${before}] [${after}]`, () => {
    const current = pod({ metadata: { finalizers: [...before] }, status: { phase: "Failed" } });
    const deletion = planDeletion(podDefinition.strategy, current, { propagation }, nowMs);
    assert.deepEqual([deletion.do, deletion.do === "write" && deletion.next.metadata?.finalizers], ["write", after]);
  });
}

test("a later wish for Background no longer waits for dependents", () => {
  const metadata = { deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 0, finalizers: ["foregroundDeletion"] };
  const current = pod({ metadata });
  assert.equal(planDeletion(podDefinition.strategy, current, {}, nowMs).do, "nothing");
  assert.equal(planDeletion(podDefinition.strategy, current, { propagation: "Background" }, nowMs).do, "remove");
  const orphaned = planDeletion(podDefinition.strategy, current, { propagation: "Orphan" }, nowMs);
  assert.deepEqual(orphaned.do === "write" && orphaned.next.metadata, { name: "web", ...metadata, finalizers: ["orphan"] });
});
