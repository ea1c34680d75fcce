import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "@tessera/proto";
import { allowedLabels, withRegistration, withReport, withSilentAgent } from "./node-status.ts";

const now = Date.parse("2030-01-01T00:00:00Z");
const registration = { name: "n", labels: {}, podCidr: "10.64.0.0/24" };
const ready = { type: "Ready", status: "True", reason: "AgentReady" };
const registered = (): Node => withRegistration(undefined, { ...registration, status: { conditions: [ready] } }, now);

test("a report that says nothing new is no change, but once in five minutes the heartbeat is", () => {
  const node = registered();
  assert.equal(withReport(node, { conditions: [ready] }, now + 60_000), node);
  const later = withReport(node, { conditions: [ready] }, now + 300_000);
  assert.equal(later.status?.conditions?.[0]?.lastHeartbeatTime, "2030-01-01T00:05:00Z");
  assert.equal(later.status?.conditions?.[0]?.lastTransitionTime, "2030-01-01T00:00:00Z");
});

test("lastTransitionTime moves with the status only", () => {
  const node = withReport(registered(), { conditions: [{ ...ready, message: "new words" }] }, now + 1_000);
  assert.equal(node.status?.conditions?.[0]?.lastTransitionTime, "2030-01-01T00:00:00Z");
  const unready = withReport(node, { conditions: [{ type: "Ready", status: "False" }] }, now + 2_000);
  assert.equal(unready.status?.conditions?.[0]?.lastTransitionTime, "2030-01-01T00:00:02Z");
});

test("silence makes every condition unknown, taints once, and changes nothing the second time", () => {
  const pressure = { type: "MemoryPressure", status: "False" };
  const node = withReport(registered(), { conditions: [ready, pressure] }, now);
  const lost = withSilentAgent(node, now, now + 10_000);
  assert.deepEqual(
    lost.status?.conditions?.map((c) => [c.type, c.status, c.reason]),
    [
      ["Ready", "Unknown", "NodeStatusUnknown"],
      ["MemoryPressure", "Unknown", "NodeStatusUnknown"],
    ],
  );
  assert.deepEqual(lost.spec?.taints, [
    { key: "node.kubernetes.io/unreachable", effect: "NoSchedule" },
    { key: "node.kubernetes.io/unreachable", effect: "NoExecute", timeAdded: "2030-01-01T00:00:10Z" },
  ]);
  assert.equal(withSilentAgent(lost, now, now + 20_000), lost);
});

test("the taint for silence gives way to that for unreadiness, others stay", () => {
  const own = { key: "mine", effect: "NoSchedule" };
  const node = registered();
  const lost = withSilentAgent({ ...node, spec: { ...node.spec, taints: [own] } }, now, now);
  const back = withReport(lost, { conditions: [{ type: "Ready", status: "False" }] }, now);
  assert.deepEqual(
    back.spec?.taints?.map((t) => t.key),
    ["mine", "node.kubernetes.io/not-ready", "node.kubernetes.io/not-ready"],
  );
  assert.deepEqual(withReport(back, { conditions: [ready] }, now).spec?.taints, [own]);
});

test("a node that is short of something is tainted for as long as it says so", () => {
  const short = withReport(registered(), { conditions: [ready, { type: "DiskPressure", status: "True" }] }, now);
  assert.deepEqual(short.spec?.taints, [{ key: "node.kubernetes.io/disk-pressure", effect: "NoSchedule" }]);
  const enough = withReport(short, { conditions: [ready, { type: "DiskPressure", status: "False" }] }, now);
  assert.equal(enough.spec?.taints, undefined);
});

test("extended resources that somebody advertised stay", () => {
  const node = { ...registered(), status: { ...registered().status, capacity: { cpu: "1", "example.com/gpu": "2" } } };
  assert.deepEqual(withReport(node, { capacity: { cpu: "2" }, conditions: [ready] }, now).status?.capacity, {
    cpu: "2",
    "example.com/gpu": "2",
  });
});

test("an agent may not give itself labels that people trust", () => {
  const labels = {
    "kubernetes.io/hostname": "n",
    "topology.kubernetes.io/zone": "z",
    "node.kubernetes.io/instance-type": "t",
    "example.com/own": "x",
    plain: "x",
    "node-role.kubernetes.io/control-plane": "",
    "node-restriction.kubernetes.io/tenant": "a",
    "kubernetes.io/metadata.name": "x",
    "x.k8s.io/y": "z",
  };
  const { allowed, refused } = allowedLabels(labels);
  assert.deepEqual(Object.keys(allowed), [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "node.kubernetes.io/instance-type",
    "example.com/own",
    "plain",
  ]);
  assert.deepEqual(refused, [
    "node-role.kubernetes.io/control-plane",
    "node-restriction.kubernetes.io/tenant",
    "kubernetes.io/metadata.name",
    "x.k8s.io/y",
  ]);
});
