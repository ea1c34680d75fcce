import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Container, Probe } from "@tessera/proto";
import {
  count,
  firstProbeAtMs,
  firstTallies,
  isDue,
  isWorthTelling,
  nextProbeAtMs,
  type ProbeKind,
  type ProbeOutcome,
  type ProbeSettings,
  probesOf,
  type Tallies,
  verdictAgain,
  verdictAtStart,
  verdictOf,
} from "./schedule.ts";

const EXEC: Probe = { exec: { command: ["true"] } };
const NOT_SAID = { started: false, ready: false };

function settings(kind: ProbeKind, probe: Probe = {}): ProbeSettings {
  const [found] = probesOf({ [`${kind}Probe`]: { ...EXEC, ...probe } });
  assert.ok(found);
  return found;
}

/** What a container's probes make of these results, one after another: "L+" a liveness success, "R-" a readiness failure, "S?" unknown. */
function judge(container: Container, results: string) {
  const probes = probesOf(container);
  let tallies: Tallies = firstTallies(probes, NOT_SAID);
  const outcomes: Record<string, ProbeOutcome> = { "+": "success", "-": "failure", "?": "unknown" };
  for (const [letter = "", sign = ""] of results.split(" ").filter(Boolean)) {
    const probe = probes.find(({ kind }) => kind.toUpperCase().startsWith(letter));
    const tally = probe && tallies[probe.kind];
    if (probe && tally) tallies = { ...tallies, [probe.kind]: count(tally, outcomes[sign] ?? "unknown", probe) };
  }
  const { started, ready, failed } = verdictOf(probes, tallies);
  const due = probes.map(({ kind }) => kind).filter((kind) => isDue(kind, tallies));
  return { started, ready, failed: failed?.kind, due: due.join(" ") };
}

const ALL: Container = { startupProbe: EXEC, livenessProbe: EXEC, readinessProbe: { ...EXEC, successThreshold: 2, failureThreshold: 2 } };
const READINESS: Container = { readinessProbe: ALL.readinessProbe };

const cases: { name: string; container: Container; results: string; want: ReturnType<typeof judge> }[] = [
  {
    name: "without probes a container is started and ready",
    container: {},
    results: "",
    want: { started: true, ready: true, failed: undefined, due: "" },
  },
  {
    name: "the startup probe holds back the others",
    container: ALL,
    results: "",
    want: { started: false, ready: false, failed: undefined, due: "startup" },
  },
  {
    name: "a startup probe that succeeds is over, and the others begin",
    container: ALL,
    results: "S- S- S+",
    want: { started: true, ready: false, failed: undefined, due: "liveness readiness" },
  },
  {
    name: "a startup probe that fails too often ends the container",
    container: ALL,
    results: "S- S- S-",
    want: { started: false, ready: false, failed: "startup", due: "" },
  },
  {
    name: "a container counts as alive until its probe says otherwise often enough",
    container: { livenessProbe: EXEC },
    results: "L- L-",
    want: { started: true, ready: true, failed: undefined, due: "liveness" },
  },
  {
    name: "failures count only in a row",
    container: { livenessProbe: EXEC },
    results: "L- L- L+ L- L-",
    want: { started: true, ready: true, failed: undefined, due: "liveness" },
  },
  {
    name: "a liveness probe that failed too often ends the container, which is not asked again",
    container: ALL,
    results: "S+ L- L- L-",
    want: { started: true, ready: false, failed: "liveness", due: "readiness" },
  },
  {
    name: "what the node could not find out does not count",
    container: { livenessProbe: EXEC },
    results: "L- L- L? L? L?",
    want: { started: true, ready: true, failed: undefined, due: "liveness" },
  },
  {
    name: "a container is not ready before its probe says so",
    container: READINESS,
    results: "R+",
    want: { started: true, ready: false, failed: undefined, due: "readiness" },
  },
  {
    name: "so many successes in a row make it ready",
    container: READINESS,
    results: "R+ R- R+ R+",
    want: { started: true, ready: true, failed: undefined, due: "readiness" },
  },
  {
    name: "so many failures in a row take that back, and end nothing",
    container: READINESS,
    results: "R+ R+ R- R-",
    want: { started: true, ready: false, failed: undefined, due: "readiness" },
  },
];

describe("probe results", () => {
  for (const { name, container, results, want } of cases) it(name, () => assert.deepEqual(judge(container, results), want));

  it("give the grace of the probe that failed", () => {
    const probes = probesOf({ livenessProbe: { ...EXEC, failureThreshold: 1, terminationGracePeriodSeconds: 7 } });
    const tally = { verdict: "failure", last: "failure", streak: 1 } as const;
    assert.deepEqual(verdictOf(probes, { liveness: tally }).failed, { kind: "liveness", graceSeconds: 7 });
  });
});

describe("what is thought of a container", () => {
  it("at its start is what its probes leave open", () => {
    assert.deepEqual(verdictAtStart({}), { started: true, ready: true, failed: undefined });
    assert.deepEqual(verdictAtStart(READINESS), { started: true, ready: false, failed: undefined });
    assert.deepEqual(verdictAtStart(ALL), { started: false, ready: false, failed: undefined });
  });

  it("after a restart of the agent is what was thought before, until a probe says otherwise", () => {
    assert.deepEqual(verdictAgain(ALL, { started: true, ready: true }), { started: true, ready: true, failed: undefined });
    assert.deepEqual(verdictAgain(ALL, undefined), { started: false, ready: false, failed: undefined });
  });
});

describe("the times of probes", () => {
  it("begin some time after the container's start, or at once when that has passed", () => {
    const probe = settings("liveness", { initialDelaySeconds: 5 });
    assert.equal(firstProbeAtMs(probe, 1_000, 1_500), 6_000);
    assert.equal(firstProbeAtMs(probe, 1_000, 9_000), 9_000);
  });

  it("follow each other by the period, and none is made up for", () => {
    const probe = settings("liveness", { periodSeconds: 2 });
    assert.equal(nextProbeAtMs(probe, 1_000, 1_010), 3_000);
    assert.equal(nextProbeAtMs(probe, 1_000, 7_500), 7_500);
  });

  it("are not put off when the node's clock is set back", () => {
    const probe = settings("liveness", { initialDelaySeconds: 5, periodSeconds: 2 });
    assert.equal(firstProbeAtMs(probe, 1_000_000, 1_000), 6_000);
    assert.equal(nextProbeAtMs(probe, 1_000_000, 1_000), 3_000);
  });

  it("are never beyond what a timer can wait", () => {
    assert.equal(settings("liveness", { timeoutSeconds: 2 ** 31 - 1 }).timeoutMs, 2 ** 31 - 1);
  });

  it("are Kubernetes' when the probe does not say", () => {
    const { periodMs, timeoutMs, initialDelayMs, successThreshold, failureThreshold } = settings("liveness", {
      periodSeconds: 0,
      timeoutSeconds: 0,
    });
    assert.deepEqual([periodMs, timeoutMs, initialDelayMs, successThreshold, failureThreshold], [10_000, 1_000, 0, 1, 3]);
  });
});

it("tells failures until the threshold, then now and then, and whatever is new", () => {
  const told = Array.from({ length: 25 }, (_, place) => place + 1).filter((streak) => isWorthTelling(streak, settings("liveness"), false));
  assert.deepEqual(told, [1, 2, 3, 10, 20]);
  assert.ok(isWorthTelling(7, settings("liveness"), true));
});
