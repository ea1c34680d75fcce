import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "@tessera/proto";
import { nextBackoffMs, restartAtMs } from "./backoff.ts";
import type { ObservedContainer, ObservedPod, ObservedState } from "./observed.ts";
import { planPod, podOutcome } from "./plan.ts";
import type { ContainerExit } from "./record.ts";
import { stepKey } from "./step.ts";
import { container, deleted, pod } from "./testing/pod-builder.ts";
import { toWanted } from "./wanted.ts";

const NOW = 1_000_000;
const NEW: ObservedPod = {
  folders: "none",
  begun: new Set(),
  address: undefined,
  netns: "none",
  hostPorts: "none",
  sandbox: "none",
  volumes: new Map(),
  containers: new Map(),
  failures: new Map(),
  busy: new Set(),
  killAtMs: undefined,
  startTimeMs: NOW,
  ended: undefined,
};
/** Of a running container: nothing is due and no probe has anything to say. */
const STEADY = {
  postStart: "done",
  paused: false,
  probes: { started: true, ready: true, failed: undefined },
  stoppingSinceMs: undefined,
  hasRunPreStop: false,
} as const;
/** A pod whose sandbox is up. */
const UP: ObservedPod = {
  ...NEW,
  folders: "there",
  begun: new Set(["address", "netns", "volumes", "sandbox"]),
  address: "10.64.1.2",
  netns: "there",
  sandbox: "there",
};

const exitOf = (exitCode: number, finishedAtMs = NOW, startedAtMs = NOW - 1000): ContainerExit => {
  return { attempt: 0, exitCode, signal: 0, reason: "Error", message: "", startedAtMs, finishedAtMs };
};
const observed = (state: ObservedState, more: Partial<ObservedContainer> = {}): ObservedContainer => {
  return { attempt: 0, prepared: -1, backoffMs: 0, state, ...more };
};
const running = (more: { stoppedAtMs?: number; killedAtMs?: number; image?: string; paused?: boolean } = {}) =>
  observed({ is: "running", startedAtMs: 1, image: "app", stoppedAtMs: undefined, killedAtMs: undefined, ...STEADY, ...more });
const exited = (exitCode: number, more: Partial<ObservedContainer> = {}, forgotten = true) =>
  observed({ is: "exited", exit: exitOf(exitCode), forgotten }, more);
const containers = (all: Record<string, ObservedContainer>) => ({ containers: new Map(Object.entries(all)) });

const TWO = pod("a", { containers: [container("main"), container("side")] });
const WITH_INIT = pod("a", { initContainers: [container("one"), container("two")] });
const WITH_SIDECAR = pod("a", { initContainers: [container("proxy", { restartPolicy: "Always" })] });
const NEVER = pod("a", { restartPolicy: "Never" });
const WITH_VOLUME = pod("a", { volumes: [{ name: "v", emptyDir: {} }] });
const WITH_PORT = pod("a", { containers: [container("main", { ports: [{ containerPort: 80, hostPort: 8080 }] })] });
const ALL_GONE = { ...NEW, folders: "there" } as const;

interface Case {
  readonly name: string;
  readonly pod?: Pod;
  readonly released?: boolean;
  readonly have: ObservedPod;
  readonly steps: readonly string[];
  readonly wakeAtMs?: number;
  readonly gone?: boolean;
}

const cases: Case[] = [
  { name: "begins with the pod's folders", have: NEW, steps: ["makeFolders"] },
  {
    name: "then gets address, volumes and images side by side",
    pod: WITH_VOLUME,
    have: { ...NEW, folders: "there" },
    steps: ["allocateAddress", "mountVolume v", "prepareContainer main"],
  },
  {
    name: "makes the network namespace for its address",
    have: { ...NEW, folders: "there", address: "10.64.1.2" },
    steps: ["createNetns", "prepareContainer main"],
  },
  {
    name: "opens host ports beside that",
    pod: WITH_PORT,
    have: { ...NEW, folders: "there", address: "10.64.1.2" },
    steps: ["createNetns", "openHostPorts", "prepareContainer main"],
  },
  {
    name: "makes no sandbox before the host ports are open",
    pod: WITH_PORT,
    have: { ...UP, sandbox: "none", busy: new Set(["hostPorts"]) },
    steps: ["prepareContainer main"],
  },
  {
    name: "opens them again for a pod that an earlier agent left, which runs on meanwhile",
    pod: WITH_PORT,
    have: { ...UP, hostPorts: "unclear", ...containers({ main: running() }) },
    steps: ["openHostPorts"],
  },
  {
    name: "leaves host ports that are open alone",
    pod: WITH_PORT,
    have: { ...UP, hostPorts: "there", ...containers({ main: running() }) },
    steps: [],
  },
  {
    name: "keeps the address of a removed pod until nothing leads to it",
    pod: WITH_PORT,
    released: true,
    have: { ...ALL_GONE, begun: new Set(["address", "hostPorts"]), address: "10.64.1.2" },
    steps: ["closeHostPorts"],
  },
  {
    name: "makes no sandbox before the volumes are there",
    pod: WITH_VOLUME,
    have: { ...UP, sandbox: "none", busy: new Set(["volume v"]) },
    steps: ["prepareContainer main"],
  },
  {
    name: "makes the sandbox when network and volumes are there",
    pod: WITH_VOLUME,
    have: { ...UP, sandbox: "none", volumes: new Map([["v", "ready"]]) },
    steps: ["createSandbox", "prepareContainer main"],
  },
  {
    name: "gives a pod in the node's network no address",
    pod: pod("a", { hostNetwork: true }),
    have: { ...NEW, folders: "there" },
    steps: ["createSandbox", "prepareContainer main"],
  },
  {
    name: "starts what is prepared",
    pod: TWO,
    have: { ...UP, ...containers({ main: observed({ is: "none" }, { prepared: 0 }) }) },
    steps: ["startContainer main", "prepareContainer side"],
  },
  { name: "does nothing for a pod that is as it should be", have: { ...UP, ...containers({ main: running() }) }, steps: [] },
  {
    name: "pauses what is to stand still, and nothing else",
    pod: pod("a", { containers: [container("main"), container("side")] }, { annotations: { "tessera.dev/paused": "side" } }),
    have: { ...UP, ...containers({ main: running(), side: running() }) },
    steps: ["pauseContainer side"],
  },
  {
    name: "leaves alone what stands still as it should",
    pod: pod("a", {}, { annotations: { "tessera.dev/paused": "true" } }),
    have: { ...UP, ...containers({ main: running({ paused: true }) }) },
    steps: [],
  },
  {
    name: "resumes what is no longer to stand still",
    have: { ...UP, ...containers({ main: running({ paused: true }) }) },
    steps: ["resumeContainer main"],
  },
  {
    name: "resumes what is to be stopped, before its hook and its signal",
    pod: deleted(pod("a", { containers: [container("main", { lifecycle: { preStop: { exec: { command: ["bye"] } } } })] }), 30),
    have: { ...UP, ...containers({ main: running({ paused: true }) }) },
    steps: ["resumeContainer main"],
    wakeAtMs: NOW + 30_000,
  },
  {
    name: "kills what could not be resumed when its grace is over",
    pod: deleted(pod("a"), 30),
    have: { ...UP, killAtMs: NOW, ...containers({ main: running({ paused: true }) }) },
    steps: ["signalContainer main"],
  },
  {
    name: "updates a stale volume of a running pod",
    pod: WITH_VOLUME,
    have: { ...UP, volumes: new Map([["v", "stale"]]), ...containers({ main: running() }) },
    steps: ["mountVolume v"],
  },
  { name: "does not begin what is under way", have: { ...NEW, folders: "there", busy: new Set(["address", "files of main"]) }, steps: [] },
  {
    name: "waits before it tries again what has failed",
    have: {
      ...NEW,
      folders: "there",
      ...{ failures: new Map([["allocateAddress", { message: "", reason: "", atMs: NOW, count: 1, retryAtMs: NOW + 500 }]]) },
    },
    steps: ["prepareContainer main"],
    wakeAtMs: NOW + 500,
  },
  {
    name: "removes what is left of a sandbox before all else",
    have: { ...UP, sandbox: "unclear", netns: "unclear" },
    steps: ["removeSandbox"],
  },
  { name: "and then what is left of its network", have: { ...UP, sandbox: "none", netns: "unclear" }, steps: ["releaseNetns"] },
  {
    name: "clears up after a start that was cut short",
    have: { ...UP, ...containers({ main: observed({ is: "unclear" }) }) },
    steps: ["forgetContainer main"],
  },

  { name: "runs init containers one after the other", pod: WITH_INIT, have: { ...UP, ...containers({ one: running() }) }, steps: [] },
  {
    name: "goes on to the next when one has succeeded",
    pod: WITH_INIT,
    have: { ...UP, ...containers({ one: exited(0) }) },
    steps: ["prepareContainer two"],
  },
  {
    name: "starts the others when all have",
    pod: WITH_INIT,
    have: { ...UP, ...containers({ one: exited(0), two: exited(0) }) },
    steps: ["prepareContainer main"],
  },
  {
    name: "tries an init container again that failed",
    pod: WITH_INIT,
    have: { ...UP, ...containers({ one: exited(1) }) },
    steps: ["prepareContainer one"],
  },
  { name: "holds the others back until a sidecar runs", pod: WITH_SIDECAR, have: UP, steps: ["prepareContainer proxy"] },
  {
    name: "but only at the start",
    pod: WITH_SIDECAR,
    have: { ...UP, ...containers({ proxy: exited(1, { backoffMs: 10_000 }), main: exited(1) }) },
    steps: ["prepareContainer main"],
    wakeAtMs: NOW + 10_000,
  },

  {
    name: "forgets an ended container before it starts it again",
    have: { ...UP, ...containers({ main: exited(1, {}, false) }) },
    steps: ["forgetContainer main"],
  },
  {
    name: "starts it again as the next attempt",
    have: { ...UP, ...containers({ main: exited(1, { prepared: 1 }) }) },
    steps: ["startContainer main"],
  },
  {
    name: "waits as long as its restarts have earned it",
    have: { ...UP, ...containers({ main: exited(1, { backoffMs: 20_000 }) }) },
    steps: [],
    wakeAtMs: NOW + 20_000,
  },
  {
    name: "asks a container to stop whose image is to be another",
    have: { ...UP, ...containers({ main: running({ image: "old" }) }) },
    steps: ["signalContainer main"],
    wakeAtMs: NOW + 30_000,
  },

  {
    name: "gives a finished pod's things back, ended containers first",
    pod: NEVER,
    have: { ...UP, ...containers({ main: exited(0, {}, false) }) },
    steps: ["forgetContainer main"],
  },
  { name: "then the sandbox", pod: NEVER, have: { ...UP, ...containers({ main: exited(0) }) }, steps: ["removeSandbox"] },
  {
    name: "then network and volumes",
    pod: NEVER,
    have: { ...UP, sandbox: "none", begun: new Set(["address", "netns", "volumes"]), ...containers({ main: exited(0) }) },
    steps: ["releaseNetns", "unmountVolumes"],
  },
  { name: "and then leaves its record be", pod: NEVER, have: { ...ALL_GONE, ...containers({ main: exited(0) }) }, steps: [] },
  {
    name: "stops the sidecar of a finished pod",
    pod: pod("a", { restartPolicy: "Never", initContainers: [container("proxy", { restartPolicy: "Always" })] }),
    have: { ...UP, ...containers({ proxy: running(), main: exited(0) }) },
    steps: ["signalContainer proxy"],
    wakeAtMs: NOW + 30_000,
  },

  {
    name: "asks all to stop when the pod is deleted",
    pod: deleted(TWO, 30),
    have: { ...UP, killAtMs: NOW + 9000, ...containers({ main: running(), side: running({ stoppedAtMs: NOW }) }) },
    steps: ["signalContainer main"],
    wakeAtMs: NOW + 9000,
  },
  {
    name: "kills what is left when the grace is over",
    pod: deleted(TWO, 30),
    have: { ...UP, killAtMs: NOW, ...containers({ main: running({ stoppedAtMs: NOW - 30_000 }), side: exited(0) }) },
    steps: ["signalContainer main"],
  },
  {
    name: "waits for what it killed",
    pod: deleted(TWO, 0),
    have: { ...UP, killAtMs: NOW - 100, ...containers({ main: running({ stoppedAtMs: 1, killedAtMs: NOW - 100 }) }) },
    steps: [],
    wakeAtMs: NOW + 9900,
  },
  {
    name: "but not for ever",
    pod: deleted(TWO, 0),
    have: { ...UP, killAtMs: 1, ...containers({ main: running({ stoppedAtMs: 1, killedAtMs: NOW - 10_000 }) }) },
    steps: ["removeSandbox"],
  },
  {
    name: "stops sidecars after the others",
    pod: deleted(WITH_SIDECAR, 30),
    have: { ...UP, killAtMs: NOW + 9000, ...containers({ proxy: running(), main: running({ stoppedAtMs: NOW }) }) },
    steps: [],
    wakeAtMs: NOW + 9000,
  },
  {
    name: "waits for steps under way before it takes things away",
    pod: deleted(TWO, 0),
    have: { ...UP, busy: new Set(["volume v"]) },
    steps: [],
  },
  {
    name: "takes the address away after what uses it",
    pod: deleted(TWO, 0),
    have: { ...ALL_GONE, begun: new Set(["address"]) },
    steps: ["releaseAddress"],
  },
  { name: "takes the folders away last", pod: deleted(TWO, 0), have: ALL_GONE, steps: ["removeFolders"] },
  { name: "and is done when nothing is left", pod: deleted(TWO, 0), have: NEW, steps: [], gone: true },
  {
    name: "kills without a word when the object is gone",
    released: true,
    have: { ...UP, ...containers({ main: running() }) },
    steps: ["removeSandbox"],
  },
];

describe("the plan", () => {
  for (const { name, have, steps, wakeAtMs, gone, released, ...rest } of cases) {
    it(name, () => {
      const plan = planPod(toWanted(rest.pod ?? pod("a"), released ?? false), have, NOW);
      assert.deepEqual(plan.steps.map(stepKey), steps);
      assert.equal(plan.wakeAtMs, wakeAtMs);
      assert.equal(plan.gone, gone ?? false);
      for (const step of plan.steps) assert.notEqual(step.because, "");
    });
  }

  it("kills with the signal that cannot be ignored only when the grace is over", () => {
    const have = { ...UP, killAtMs: NOW, ...containers({ main: running() }) };
    const [step] = planPod(toWanted(deleted(pod("a"), 0), false), have, NOW).steps;
    assert.equal(step?.do === "signalContainer" && step.signal, "kill");
  });
});

describe("a pod's outcome", () => {
  const outcome = (policy: string, ...exitCodes: (number | undefined)[]) => {
    const names = exitCodes.map((_, place) => `c${place}`);
    const want = toWanted(pod("a", { restartPolicy: policy, containers: names.map((name) => container(name)) }), false);
    const all = names.map((name, place): [string, ObservedContainer] => {
      const code = exitCodes[place];
      return [name, code === undefined ? running() : exited(code)];
    });
    return podOutcome(want, { ended: undefined, containers: new Map(all) });
  };

  it("is none while a container runs or will run again", () => {
    assert.equal(outcome("Never", 0, undefined), undefined);
    assert.equal(outcome("Always", 0, 0), undefined);
    assert.equal(outcome("OnFailure", 0, 1), undefined);
  });

  it("is success only when all succeeded", () => {
    assert.equal(outcome("Never", 0, 0), "Succeeded");
    assert.equal(outcome("OnFailure", 0, 0), "Succeeded");
    assert.equal(outcome("Never", 0, 3), "Failed");
  });
});

describe("the delay between restarts", () => {
  it("is nothing at first, then doubles from 10 seconds to 5 minutes", () => {
    const delays: number[] = [];
    let backoffMs = 0;
    for (let restart = 0; restart < 8; restart += 1) {
      delays.push(restartAtMs(exitOf(1), backoffMs) - NOW);
      backoffMs = nextBackoffMs(exitOf(1), backoffMs);
    }
    assert.deepEqual(delays, [0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  });

  it("starts afresh after a run of more than ten minutes", () => {
    const long = exitOf(1, NOW, NOW - 600_001);
    assert.equal(restartAtMs(long, 300_000), NOW);
    assert.equal(nextBackoffMs(long, 300_000), 10_000);
    assert.equal(restartAtMs(exitOf(1, NOW, NOW - 600_000), 300_000), NOW + 300_000);
  });
});
