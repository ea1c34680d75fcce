import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "@tessera/proto";
import { withReportedStatus, withUnreachableNode } from "./pod-status.ts";

const scheduled = { type: "PodScheduled", status: "True", lastTransitionTime: "2030-01-01T00:00:00Z" };
const aPod = (status: Pod["status"]): Pod => ({ metadata: { name: "p", creationTimestamp: "2029-01-01T00:00:00Z" }, status });

test("the agent's conditions replace its own, those of others stay, PodScheduled is not its to decide", () => {
  const gate = { type: "example.com/gate", status: "True" };
  const pod = aPod({
    phase: "Pending",
    conditions: [scheduled, { type: "Initialized", status: "True" }, { type: "Ready", status: "False" }, gate],
  });
  const reported = [
    { type: "Ready", status: "True" },
    { type: "PodScheduled", status: "False" },
  ];
  const next = withReportedStatus(pod, { phase: "Running", conditions: reported });
  assert.deepEqual(next.status, { phase: "Running", conditions: [{ type: "Ready", status: "True" }, scheduled, gate] });
});

test("what ends a pod is told by whoever ends it: the control plane, or the agent", () => {
  const ofTaint = { type: "DisruptionTarget", status: "True", reason: "DeletionByTaintManager" };
  const ofNode = { type: "DisruptionTarget", status: "True", reason: "TerminationByKubelet" };
  const kept = withReportedStatus(aPod({ phase: "Running", conditions: [scheduled, ofTaint] }), { phase: "Running", conditions: [] });
  assert.deepEqual(kept.status?.conditions, [scheduled, ofTaint]);
  const evicted = withReportedStatus(aPod({ phase: "Running", conditions: [scheduled] }), { phase: "Failed", conditions: [ofNode] });
  assert.deepEqual(evicted.status?.conditions, [ofNode, scheduled]);
});

test("a pod that was created with its node counts as scheduled since then", () => {
  const next = withReportedStatus(aPod({ phase: "Pending" }), { phase: "Running" });
  assert.deepEqual(next.status?.conditions, [{ type: "PodScheduled", status: "True", lastTransitionTime: "2029-01-01T00:00:00Z" }]);
});

test("what the control plane decided stays: quality of service and nomination", () => {
  const pod = aPod({ phase: "Pending", qosClass: "Burstable", nominatedNodeName: "n", conditions: [scheduled] });
  const next = withReportedStatus(pod, { phase: "Running", qosClass: "Guaranteed" });
  assert.deepEqual(next.status, { phase: "Running", qosClass: "Burstable", nominatedNodeName: "n", conditions: [scheduled] });
});

test("a report that says nothing new leaves the pod as it is", () => {
  const pod = aPod({ phase: "Running", podIP: "10.64.0.2", conditions: [{ type: "Ready", status: "True" }, scheduled] });
  assert.equal(withReportedStatus(pod, { podIP: "10.64.0.2", phase: "Running", conditions: [{ type: "Ready", status: "True" }] }), pod);
});

test("a pod that ended stays as it ended", () => {
  const pod = aPod({ phase: "Failed", conditions: [scheduled] });
  assert.equal(withReportedStatus(pod, { phase: "Running" }), pod);
  assert.equal(withReportedStatus(pod, { phase: "Succeeded" }), pod);
  assert.equal(withReportedStatus(pod, { phase: "Failed", message: "why" }).status?.message, "why");
});

test("pods of a silent node are not ready; those that were not, or have ended, are as before", () => {
  const ready = { type: "Ready", status: "True" };
  const next = withUnreachableNode(
    aPod({ phase: "Running", conditions: [ready, scheduled] }),
    "Node n is not ready",
    "2030-01-01T00:00:00Z",
  );
  const unready = {
    type: "Ready",
    status: "False",
    reason: "NodeNotReady",
    message: "Node n is not ready",
    lastTransitionTime: "2030-01-01T00:00:00Z",
  };
  assert.deepEqual(next.status?.conditions, [unready, scheduled]);
  assert.equal(withUnreachableNode(next, "again", "2031-01-01T00:00:00Z"), next);
  const ended = aPod({ phase: "Succeeded", conditions: [ready] });
  assert.equal(withUnreachableNode(ended, "m", "t"), ended);
});
