import type { Container, ContainerStatus, Probe } from "@tessera/proto";

/**
 * When a container is probed and what the results mean, as data: no clock, no timers, no I/O. `Prober` has the timers.
 *
 *     startup probe ----success----> liveness and readiness probes run
 *        |  failureThreshold failures        |                  |
 *        v                                   v                  v
 *     the container is ended          it is ended          ready: yes or no
 */
export type ProbeKind = "startup" | "liveness" | "readiness";

export interface ProbeSettings {
  readonly kind: ProbeKind;
  readonly action: Pick<Probe, "exec" | "httpGet" | "tcpSocket" | "grpc">;
  readonly initialDelayMs: number;
  readonly periodMs: number;
  readonly timeoutMs: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
  /** How long the container gets to end when this probe has failed; undefined: as long as its pod says. */
  readonly graceSeconds: number | undefined;
}

/** "unknown": the node could not look; that says nothing about the container. */
export type ProbeOutcome = "success" | "failure" | "unknown";

export interface ProbeTally {
  /** What thresholds have made of the results so far. */
  readonly verdict: ProbeOutcome;
  readonly last: ProbeOutcome;
  /** How many results in a row were as the last. */
  readonly streak: number;
}

export type Tallies = Readonly<Partial<Record<ProbeKind, ProbeTally>>>;

/** What probes say of a running container. */
export interface ProbeVerdict {
  readonly started: boolean;
  readonly ready: boolean;
  /** The probe for which the container is to be ended. */
  readonly failed: { readonly kind: "startup" | "liveness"; readonly graceSeconds: number | undefined } | undefined;
}

const UNPROBED: ProbeVerdict = { started: true, ready: true, failed: undefined };

const FIELDS = { startup: "startupProbe", liveness: "livenessProbe", readiness: "readinessProbe" } as const;

/** The container's probes; the API server has filled in the defaults of what is not set, and 0 counts as not set. */
export function probesOf(container: Container): readonly ProbeSettings[] {
  return (["startup", "liveness", "readiness"] as const).flatMap((kind) => {
    const probe = container[FIELDS[kind]];
    return probe === undefined ? [] : [toSettings(kind, probe)];
  });
}

/** Beyond this a timer of Node fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

function toSettings(kind: ProbeKind, probe: Probe): ProbeSettings {
  const { exec, httpGet, tcpSocket, grpc } = probe;
  return {
    kind,
    action: { exec, httpGet, tcpSocket, grpc },
    initialDelayMs: (probe.initialDelaySeconds ?? 0) * 1000,
    periodMs: (probe.periodSeconds || 10) * 1000,
    timeoutMs: Math.min((probe.timeoutSeconds || 1) * 1000, LONGEST_TIMER_MS),
    successThreshold: probe.successThreshold || 1,
    failureThreshold: probe.failureThreshold || 3,
    graceSeconds: probe.terminationGracePeriodSeconds,
  };
}

/** Before its first result a container counts as alive, as not ready, and its start as under way. */
const FRESH: Readonly<Record<ProbeKind, ProbeTally>> = {
  startup: { verdict: "unknown", last: "unknown", streak: 0 },
  liveness: { verdict: "success", last: "unknown", streak: 0 },
  readiness: { verdict: "failure", last: "unknown", streak: 0 },
};

/** Where counting starts: anew, or for a container that runs since before the agent, from what was last said of it. */
export function firstTallies(probes: readonly ProbeSettings[], said: Pick<ProbeVerdict, "started" | "ready">): Tallies {
  const tallies: Partial<Record<ProbeKind, ProbeTally>> = {};
  for (const { kind } of probes) {
    const isGood = (kind === "startup" && said.started) || (kind === "readiness" && said.ready);
    tallies[kind] = isGood ? { verdict: "success", last: "unknown", streak: 0 } : FRESH[kind];
  }
  return tallies;
}

/** The tally after one more result. */
export function count(tally: ProbeTally, outcome: ProbeOutcome, settings: ProbeSettings): ProbeTally {
  if (outcome === "unknown") return tally;
  const streak = tally.last === outcome ? tally.streak + 1 : 1;
  const threshold = outcome === "success" ? settings.successThreshold : settings.failureThreshold;
  return { verdict: streak >= threshold ? outcome : tally.verdict, last: outcome, streak };
}

/** Whether this probe is to run now: the startup probe holds back the others, and is over once it has succeeded. */
export function isDue(kind: ProbeKind, tallies: Tallies): boolean {
  if (failedProbe(tallies) !== undefined && kind !== "readiness") return false;
  const hasStarted = tallies.startup === undefined || tallies.startup.verdict === "success";
  return kind === "startup" ? !hasStarted : hasStarted;
}

/** Never later than the delay from now, lest a container from before the node's clock was set back is never probed. */
export function firstProbeAtMs({ initialDelayMs }: ProbeSettings, startedAtMs: number, nowMs: number): number {
  return within(startedAtMs + initialDelayMs, nowMs, nowMs + initialDelayMs);
}

/** A probe that takes longer than its period is not run twice at once, and what was missed is not made up for. */
export function nextProbeAtMs({ periodMs }: ProbeSettings, beganAtMs: number, nowMs: number): number {
  return within(beganAtMs + periodMs, nowMs, nowMs + periodMs);
}

function within(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}

export function verdictOf(probes: readonly ProbeSettings[], tallies: Tallies): ProbeVerdict {
  const started = tallies.startup === undefined || tallies.startup.verdict === "success";
  const kind = failedProbe(tallies);
  return {
    started,
    ready: started && (tallies.readiness === undefined || tallies.readiness.verdict === "success"),
    failed: kind && { kind, graceSeconds: probes.find((probe) => probe.kind === kind)?.graceSeconds },
  };
}

function failedProbe({ startup, liveness }: Tallies): "startup" | "liveness" | undefined {
  if (startup?.verdict === "failure") return "startup";
  return liveness?.verdict === "failure" ? "liveness" : undefined;
}

/** What is to be thought of a container that has just started. */
export function verdictAtStart(container: Container): ProbeVerdict {
  const probes = probesOf(container);
  return probes.length === 0 ? UNPROBED : verdictOf(probes, firstTallies(probes, { started: false, ready: false }));
}

/** What is to be thought of a container that ran before the agent did; `before` is what was last reported of it. */
export function verdictAgain(container: Container, before: ContainerStatus | undefined): ProbeVerdict {
  const probes = probesOf(container);
  if (probes.length === 0) return UNPROBED;
  return verdictOf(probes, firstTallies(probes, { started: before?.started ?? false, ready: before?.ready ?? false }));
}

/** Every so many equal failures are told again; those in between say nothing new. */
const REPEAT_EVERY = 10;

/** Whether a failure is worth an Event. */
export function isWorthTelling(streak: number, { failureThreshold }: ProbeSettings, isNewMessage: boolean): boolean {
  return isNewMessage || streak <= failureThreshold || streak % REPEAT_EVERY === 0;
}
