import assert from "node:assert/strict";
import test from "node:test";
import type { ContainerState, ContainerStatus, Pod } from "@tessera/proto";
import { podColumns, summarizePod } from "./columns.ts";

function status(name: string, state: ContainerState, more: ContainerStatus = {}): ContainerStatus {
  return { name, state, restartCount: 0, ready: false, ...more };
}

const running = (name: string, ready = true) => status(name, { running: {} }, { ready, started: true });
const waiting = (name: string, reason: string) => status(name, { waiting: { reason } });
const ended = (name: string, exitCode: number, reason?: string) => status(name, { terminated: { exitCode, reason } });

interface Case {
  readonly pod: Pod;
  readonly status: string;
  readonly ready?: string;
}

const spec = { containers: [{ name: "a" }, { name: "b" }], initContainers: [{ name: "i" }, { name: "j" }] };

const cases: { [sentence: string]: Case } = {
  "a new pod shows its phase": { pod: { spec, status: { phase: "Pending" } }, status: "Pending", ready: "0/2" },
  "a pod's own reason wins over its phase": { pod: { spec, status: { phase: "Failed", reason: "Evicted" } }, status: "Evicted" },
  "gates are named": {
    pod: { spec, status: { phase: "Pending", conditions: [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }] } },
    status: "SchedulingGated",
  },
  "ready containers are counted": {
    pod: { spec, status: { phase: "Running", containerStatuses: [running("a"), running("b", false)] } },
    status: "Running",
    ready: "1/2",
  },
  "a waiting container says why": {
    pod: { spec, status: { phase: "Running", containerStatuses: [running("a"), waiting("b", "CrashLoopBackOff")] } },
    status: "CrashLoopBackOff",
    ready: "1/2",
  },
  "an exit without a reason shows its code": {
    pod: { spec, status: { phase: "Failed", containerStatuses: [ended("a", 3)] } },
    status: "ExitCode:3",
  },
  "a signal is shown as such": {
    pod: { spec, status: { containerStatuses: [status("a", { terminated: { signal: 9 } })] } },
    status: "Signal:9",
  },
  "one container done and one running is Running if the pod is ready": {
    pod: {
      spec,
      status: {
        phase: "Running",
        conditions: [{ type: "Ready", status: "True" }],
        containerStatuses: [ended("a", 0, "Completed"), running("b")],
      },
    },
    status: "Running",
    ready: "1/2",
  },
  "and NotReady if it is not": {
    pod: { spec, status: { phase: "Running", containerStatuses: [ended("a", 0, "Completed"), running("b")] } },
    status: "NotReady",
  },
  "init containers are counted while they run": {
    pod: { spec, status: { phase: "Pending", initContainerStatuses: [ended("i", 0), status("j", { running: {} })] } },
    status: "Init:1/2",
  },
  "a failed init container is named by its reason": {
    pod: { spec, status: { phase: "Pending", initContainerStatuses: [ended("i", 1, "Error")] } },
    status: "Init:Error",
  },
  "an init container that waits says why": {
    pod: { spec, status: { phase: "Pending", initContainerStatuses: [waiting("i", "ImagePullBackOff")] } },
    status: "Init:ImagePullBackOff",
  },
  "a running sidecar counts among the containers": {
    pod: {
      spec: { containers: [{ name: "a" }], initContainers: [{ name: "s", restartPolicy: "Always" }] },
      status: { phase: "Running", initContainerStatuses: [running("s")], containerStatuses: [running("a")] },
    },
    status: "Running",
    ready: "2/2",
  },
  "a pod that is being deleted is Terminating": {
    pod: { metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" }, spec, status: { phase: "Running", containerStatuses: [running("a")] } },
    status: "Terminating",
  },
  "a finished pod that is being deleted shows how it ended": {
    pod: {
      metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" },
      spec,
      status: { phase: "Succeeded", containerStatuses: [ended("a", 0, "Completed")] },
    },
    status: "Completed",
  },
};

for (const [sentence, { pod, status: wanted, ready }] of Object.entries(cases)) {
  test(sentence, () => {
    const summary = summarizePod(pod);
    assert.equal(summary.status, wanted);
    if (ready !== undefined) assert.equal(`${summary.ready}/${summary.total}`, ready);
  });
}

test("restarts are summed, with the time of the last", () => {
  const nowMs = Date.parse("2026-01-01T01:00:00Z");
  const died = (finishedAt: string) => ({ terminated: { exitCode: 1, finishedAt } });
  const pod: Pod = {
    spec,
    status: {
      containerStatuses: [
        status("a", { running: {} }, { restartCount: 2, lastState: died("2026-01-01T00:58:00Z") }),
        status("b", { running: {} }, { restartCount: 1, lastState: died("2026-01-01T00:50:00Z") }),
      ],
    },
  };
  assert.equal(podColumns.find((column) => column.name === "Restarts")?.cell(pod, nowMs), "3 (2m ago)");
});

test("every column has a cell for an empty pod", () => {
  for (const column of podColumns) assert.notEqual(column.cell({}, 0), undefined, column.name);
});
