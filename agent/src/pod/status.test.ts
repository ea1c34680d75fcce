import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod, PodStatus } from "@tessera/proto";
import { newRecord } from "./record.ts";
import { PodState, toExit } from "./state.ts";
import { formatDelay, podStatus, statusChangesAt } from "./status.ts";
import { container, deleted, pod } from "./testing/pod-builder.ts";
import { toWanted } from "./wanted.ts";

const NOW = Date.parse("2026-01-02T03:04:05Z");

/** A pod's state that a test brings into shape, and its status. */
class Shape {
  readonly state: PodState;
  readonly pod: Pod;

  constructor(object: Pod) {
    this.pod = object;
    this.state = PodState.fresh(newRecord(object.metadata?.uid ?? "", object, NOW - 60_000));
    this.state.enterContainers(toWanted(object, false), 15);
  }

  up(): this {
    this.state.sandbox = "there";
    this.state.address = "10.64.1.2";
    this.state.record.address = "10.64.1.2";
    return this;
  }

  running(...names: string[]): this {
    for (const name of names) this.state.noteStarted(name, NOW - 30_000);
    return this;
  }

  exited(name: string, exitCode: number, more: { oomKilled?: boolean; signal?: number } = {}): this {
    const { attempt } = this.state.container(name);
    const times = { startedAtMs: NOW - 30_000, finishedAtMs: NOW - 10_000 };
    const ended = { phase: "exited", id: `${name}_${attempt}`, exitCode, signal: 0, oomKilled: false, ...times, ...more } as const;
    this.state.noteExited(name, toExit(attempt, ended));
    return this;
  }

  failing(step: string, reason: string, message: string, atMs = NOW): this {
    this.state.failures.set(step, { message, reason, atMs, count: 1, retryAtMs: NOW + 10_000 });
    return this;
  }

  status(object = this.pod): PodStatus {
    return podStatus({
      want: toWanted(object, false),
      have: this.state,
      record: this.state.record,
      hostAddresses: ["192.0.2.1"],
      nowMs: NOW,
    });
  }

  state0(): unknown {
    return this.status().containerStatuses?.[0]?.state;
  }
}

const TWO = pod("a", { containers: [container("main"), container("side")] });
const NEVER = pod("a", { restartPolicy: "Never", containers: [container("main"), container("side")] });
const INIT = pod("a", { initContainers: [container("setup")] });

describe("a pod's phase", () => {
  const cases: [sentence: string, shape: Shape, phase: string][] = [
    ["is Pending before a container has started", new Shape(TWO).up(), "Pending"],
    ["is Pending until every container has started", new Shape(TWO).up().running("main"), "Pending"],
    ["is Running once all have", new Shape(TWO).up().running("main", "side"), "Running"],
    ["is Running while one runs and another has ended", new Shape(NEVER).up().running("main").exited("side", 1), "Running"],
    ["is Running while ended containers wait for their restart", new Shape(TWO).up().exited("main", 1).exited("side", 1), "Running"],
    ["is Pending while an init container runs", new Shape(INIT).up().running("setup"), "Pending"],
    ["is Pending while a failed init container waits for its restart", new Shape(INIT).up().exited("setup", 1), "Pending"],
    ["is Succeeded when all ended well for good", new Shape(NEVER).exited("main", 0).exited("side", 0), "Succeeded"],
    ["is Failed when one did not", new Shape(NEVER).exited("main", 0).exited("side", 2), "Failed"],
  ];
  for (const [sentence, shape, phase] of cases) it(sentence, () => assert.equal(shape.status().phase, phase));

  it("is Succeeded or Failed for a pod whose deletion ended its containers", () => {
    assert.equal(new Shape(TWO).up().exited("main", 0).exited("side", 0).status(deleted(TWO, 1)).phase, "Succeeded");
    assert.equal(new Shape(TWO).up().exited("main", 0).exited("side", 137).status(deleted(TWO, 1)).phase, "Failed");
  });
});

describe("a pod's conditions", () => {
  const conditions = (status: PodStatus) =>
    Object.fromEntries((status.conditions ?? []).map((one) => [one.type, [one.status, one.reason, one.message]]));

  it("name the containers that are not ready", () => {
    assert.deepEqual(conditions(new Shape(TWO).up().running("main").status()), {
      PodReadyToStartContainers: ["True", undefined, undefined],
      Initialized: ["True", undefined, undefined],
      Ready: ["False", "ContainersNotReady", "containers with unready status: [side]"],
      ContainersReady: ["False", "ContainersNotReady", "containers with unready status: [side]"],
    });
  });

  it("name the init containers that are not done", () => {
    const { Initialized } = conditions(new Shape(INIT).up().running("setup").status());
    assert.deepEqual(Initialized, ["False", "ContainersNotInitialized", "containers with incomplete status: [setup]"]);
  });

  it("say that a finished pod is not ready because it is finished", () => {
    const { Ready, Initialized } = conditions(new Shape(NEVER).exited("main", 0).exited("side", 0).status());
    assert.deepEqual(
      [Ready, Initialized],
      [
        ["False", "PodCompleted", undefined],
        ["True", "PodCompleted", undefined],
      ],
    );
  });

  it("keep the time of their last change", () => {
    const shape = new Shape(TWO).up().running("main", "side");
    const before = "2026-01-01T00:00:00Z";
    shape.state.record.status = {
      conditions: [
        { type: "Ready", status: "True", lastTransitionTime: before },
        { type: "Initialized", status: "False", lastTransitionTime: before },
      ],
    };
    const times = Object.fromEntries((shape.status().conditions ?? []).map((one) => [one.type, one.lastTransitionTime]));
    assert.deepEqual([times["Ready"], times["Initialized"]], [before, "2026-01-02T03:04:05Z"]);
  });
});

describe("a container's state", () => {
  it("says what it waits for", () => {
    assert.deepEqual(new Shape(TWO).state0(), { waiting: { reason: "ContainerCreating" } });
    assert.deepEqual(new Shape(INIT).state0(), { waiting: { reason: "PodInitializing" } });
    const noVolume = new Shape(TWO).failing("mountVolume settings", "", 'configmap "x" not found');
    assert.deepEqual(noVolume.state0(), {
      waiting: { reason: "ContainerCreating", message: 'mountVolume settings: configmap "x" not found' },
    });
    const noKey = new Shape(TWO).up().failing("startContainer main", "CreateContainerConfigError", 'configmap "x" not found');
    assert.deepEqual(noKey.state0(), { waiting: { reason: "CreateContainerConfigError", message: 'configmap "x" not found' } });
  });

  it("shows a failed pull in full first, then as backing off", () => {
    const fresh = new Shape(TWO).up().failing("prepareContainer main", "ErrImagePull", "not found", NOW);
    const state = (shape: Shape) => shape.status().containerStatuses?.[0]?.state?.waiting;
    assert.equal(state(fresh)?.reason, "ErrImagePull");
    const inputs = { want: toWanted(TWO, false), have: fresh.state, record: fresh.state.record, hostAddresses: [], nowMs: NOW };
    assert.equal(statusChangesAt(inputs), NOW + 2000);
    const old = new Shape(TWO).up().failing("prepareContainer main", "ErrImagePull", "not found", NOW - 2000);
    assert.equal(state(old)?.reason, "ImagePullBackOff");
    assert.match(state(old)?.message ?? "", /not found/);
    assert.equal(statusChangesAt({ ...inputs, have: old.state }), undefined);
  });

  it("tells how it ended", () => {
    const ended = (exitCode: number, more = {}) =>
      new Shape(NEVER).up().exited("main", exitCode, more).status().containerStatuses?.[0]?.state?.terminated;
    assert.deepEqual([ended(0)?.reason, ended(0)?.exitCode], ["Completed", 0]);
    assert.deepEqual([ended(3)?.reason, ended(3)?.exitCode], ["Error", 3]);
    assert.deepEqual(
      [ended(137, { oomKilled: true, signal: 9 })?.reason, ended(137, { oomKilled: true, signal: 9 })?.signal],
      ["OOMKilled", 9],
    );
    assert.equal(ended(0)?.startedAt, "2026-01-02T03:03:35Z");
    assert.match(ended(0)?.containerID ?? "", /^tessera:\/\/[0-9a-f]{64}$/);
  });

  it("while it waits for its restart shows the delay, and how it ended as its last state", () => {
    const shape = new Shape(TWO).up().running("side").exited("main", 1);
    shape.state.beginAttempt("main", 1, "app");
    shape.exited("main", 2);
    const status = shape.status().containerStatuses?.[0];
    assert.equal(status?.state?.waiting?.reason, "CrashLoopBackOff");
    assert.equal(status?.state?.waiting?.message, "back-off 10s restarting failed container=main pod=a_default(uid-a)");
    assert.deepEqual([status?.lastState?.terminated?.exitCode, status?.restartCount, status?.ready, status?.started], [2, 1, false, false]);
  });

  it("tells what it was given, once it was", () => {
    const resources = { requests: { cpu: "100m" }, limits: { cpu: "200m" } };
    const volumeMounts = [
      { name: "data", mountPath: "/data" },
      { name: "keys", mountPath: "/keys", readOnly: true },
    ];
    const shape = new Shape(pod("web", { containers: [container("main", { resources, volumeMounts })] }));
    const given = () => {
      const { resources, allocatedResources, user, volumeMounts } = shape.status().containerStatuses?.[0] ?? {};
      return { resources, allocatedResources, user, volumeMounts };
    };
    const nothing = { resources: undefined, allocatedResources: undefined, user: undefined, volumeMounts: undefined };
    assert.deepEqual(given(), nothing);
    shape.state.container("main").user = { uid: 1000, gid: 3000, additionalGids: [3000, 4000] };
    shape.up().running("main");
    assert.deepEqual(given(), {
      resources,
      allocatedResources: resources.requests,
      user: { linux: { uid: 1000, gid: 3000, supplementalGroups: [3000, 4000] } },
      volumeMounts: [
        { name: "data", mountPath: "/data" },
        { name: "keys", mountPath: "/keys", readOnly: true, recursiveReadOnly: "Enabled" },
      ],
    });
  });

  it("has a new ID for each attempt that came to run", () => {
    const shape = new Shape(TWO).up();
    const id = () => shape.status().containerStatuses?.[0]?.containerID;
    assert.equal(shape.status().containerStatuses?.[0]?.stopSignal, undefined, "which one it is the image says");
    assert.equal(id(), undefined);
    shape.running("main");
    const first = id();
    assert.ok(first !== undefined && first === id());
    shape.exited("main", 1).state.beginAttempt("main", 1, "app");
    assert.equal(id(), first, "the second has not begun to run");
    shape.running("main");
    assert.notEqual(id(), first);
  });
});

describe("delays", () => {
  it("are written as Kubernetes writes them", () => {
    assert.deepEqual([10_000, 80_000, 300_000].map(formatDelay), ["10s", "1m20s", "5m0s"]);
  });
});
