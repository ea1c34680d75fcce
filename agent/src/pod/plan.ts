import { restartAtMs } from "./backoff.ts";
import { Draft, type Plan } from "./draft.ts";
import type { ObservedPod, RunningState } from "./observed.ts";
import type { ContainerExit } from "./record.ts";
import { planStop, planStopAll } from "./stop.ts";
import type { WantedContainer, WantedPod } from "./wanted.ts";

/**
 * What to do next for a pod, decided from what is wanted and what is there and nothing else: no I/O, no clock, no memory. The worker
 * carries the steps out side by side, looks again after each, and asks again, so a plan holds only what can be done now.
 */
export function planPod(want: WantedPod, have: ObservedPod, nowMs: number): Plan {
  const draft = new Draft(have, nowMs);
  if (want.desire.is === "remove") planRemoval(draft, "the pod object is gone");
  else if (want.desire.is === "terminate") planTermination(want, draft);
  else if (podOutcome(want, have) !== undefined) planRetirement(want, draft);
  else planRun(want, draft);
  const deadlineMs = podDeadlineMs(want, have);
  if (want.desire.is === "run" && deadlineMs !== undefined && nowMs < deadlineMs) draft.wakeAt(deadlineMs);
  return draft.plan();
}

export function podDeadlineMs(want: WantedPod, have: Pick<ObservedPod, "startTimeMs">): number | undefined {
  return want.deadlineSeconds === undefined ? undefined : have.startTimeMs + want.deadlineSeconds * 1000;
}

/** How a pod whose containers are not to run again has ended; undefined while it has not. */
export function podOutcome(want: WantedPod, have: Pick<ObservedPod, "containers" | "ended">): "Succeeded" | "Failed" | undefined {
  if (have.ended !== undefined) return "Failed";
  for (const container of want.init) {
    const exit = container.kind === "init" ? finalExit(container, have) : undefined;
    if (exit !== undefined && exit.exitCode !== 0) return allEnded(want.apps, have) ? "Failed" : undefined;
  }
  const exits = want.apps.map((container) => finalExit(container, have));
  if (exits.length === 0 || exits.some((exit) => exit === undefined)) return undefined;
  return exits.every((exit) => exit?.exitCode === 0) ? "Succeeded" : "Failed";
}

/** The exit after which the container is not started again. */
function finalExit(container: WantedContainer, have: Pick<ObservedPod, "containers">): ContainerExit | undefined {
  const state = have.containers.get(container.name)?.state;
  return state?.is === "exited" && !restarts(container, state.exit) ? state.exit : undefined;
}

export function restarts(container: WantedContainer, exit: ContainerExit): boolean {
  return container.restart === "Always" || (container.restart === "OnFailure" && exit.exitCode !== 0);
}

function allEnded(containers: readonly WantedContainer[], have: Pick<ObservedPod, "containers">): boolean {
  return containers.every((container) => have.containers.get(container.name)?.state.is !== "running");
}

function planRun(want: WantedPod, draft: Draft): void {
  const { have } = draft;
  if (have.folders !== "there") {
    draft.add({ do: "makeFolders", because: "the pod is new here" });
    return;
  }
  if (!planLeftovers(draft)) return;
  if (have.sandbox === "none") planNetwork(want, draft);
  const portsReady = planHostPorts(want, draft);
  const volumesReady = planVolumes(want, draft);
  const networkReady = want.hostNetwork || (have.netns === "there" && portsReady);
  if (have.sandbox === "none" && networkReady && volumesReady) draft.add({ do: "createSandbox", because: "network and volumes are ready" });
  const canStart = have.sandbox === "there" && volumesReady;
  // First of all: they are to show what keeps the others from starting.
  for (const container of want.ephemeral) planContainer(want, container, draft, canStart && isTargetThere(container, have));
  planContainers(want, draft, canStart);
}

/** A container that is to see another one's processes cannot start without them. */
function isTargetThere({ target }: WantedContainer, have: ObservedPod): boolean {
  return target === undefined || have.containers.get(target)?.state.is === "running";
}

/** What is left of a sandbox that is not whole is removed before a new one is made. */
function planLeftovers(draft: Draft): boolean {
  const { have } = draft;
  if (have.sandbox === "unclear") {
    draft.add({ do: "removeSandbox", because: "what is left of the sandbox is in an unclear state" });
    return false;
  }
  if (have.netns === "unclear") {
    draft.add({ do: "releaseNetns", because: "what is left of the network namespace is in an unclear state" });
    return false;
  }
  return true;
}

function planNetwork(want: WantedPod, draft: Draft): void {
  const { have } = draft;
  if (want.hostNetwork) return;
  if (have.address === undefined) draft.add({ do: "allocateAddress", because: "the pod needs an address" });
  else if (have.netns === "none") draft.add({ do: "createNetns", because: "the pod needs a network namespace" });
}

/** Also for a pod that runs: the ports of one that an earlier agent left are to be held again. */
function planHostPorts({ hostPorts }: WantedPod, draft: Draft): boolean {
  const { have } = draft;
  if (hostPorts.length === 0 || have.hostPorts === "there") return true;
  if (have.address !== undefined) draft.add({ do: "openHostPorts", because: "ports of the node are to lead to the pod" });
  return false;
}

function planVolumes(want: WantedPod, draft: Draft): boolean {
  let ready = true;
  for (const volume of want.volumes) {
    const state = draft.have.volumes.get(volume);
    if (state === "ready") continue;
    // A stale volume can be used; it is brought up to date beside whatever else goes on.
    ready &&= state === "stale";
    draft.add({ do: "mountVolume", volume, because: state === "stale" ? "its content changed" : "the pod needs it" });
  }
  return ready;
}

function planContainers(want: WantedPod, draft: Draft, canStart: boolean): void {
  // Sidecars hold back what comes after them only until the pod is up for the first time.
  const isUp = want.apps.some((container) => hasBegun(container, draft.have));
  for (const container of want.init) {
    if (container.kind === "sidecar") {
      planContainer(want, container, draft, canStart);
      if (!isUp && !hasStarted(container, draft.have)) return;
    } else if (!hasSucceeded(container, draft.have)) {
      planContainer(want, container, draft, canStart);
      return;
    }
  }
  let isHeldBack = false;
  for (const container of want.apps) {
    planContainer(want, container, draft, canStart && !isHeldBack);
    isHeldBack ||= isInPostStart(container, draft.have);
  }
}

/** Whether a container is up as far as what comes after it is concerned. */
export function hasStarted({ name }: WantedContainer, have: Pick<ObservedPod, "containers">): boolean {
  const state = have.containers.get(name)?.state;
  return state?.is === "running" && state.postStart === "done" && state.probes.started;
}

/** Containers after one with a postStart hook start once that has run, as people rely on, unless the container cannot be started itself. */
function isInPostStart({ name, spec }: WantedContainer, have: ObservedPod): boolean {
  if (spec.lifecycle?.postStart === undefined) return false;
  if (have.failures.has(`prepareContainer ${name}`) || have.failures.has(`startContainer ${name}`)) return false;
  const state = have.containers.get(name)?.state;
  return state === undefined || state.is === "none" || (state.is === "running" && state.postStart === "due");
}

function hasSucceeded(container: WantedContainer, have: ObservedPod): boolean {
  const state = have.containers.get(container.name)?.state;
  return state?.is === "exited" && state.exit.exitCode === 0;
}

function hasBegun(container: WantedContainer, have: ObservedPod): boolean {
  const now = have.containers.get(container.name);
  return now !== undefined && (now.attempt > 0 || now.state.is === "running" || now.state.is === "exited");
}

/** One container that should run now: bring its next attempt about, when it is due. */
function planContainer(want: WantedPod, container: WantedContainer, draft: Draft, canStart: boolean): void {
  const now = draft.have.containers.get(container.name);
  const state = now?.state ?? { is: "none" };
  const attempt = now?.attempt ?? 0;
  switch (state.is) {
    case "running":
      planRunning(want, container, draft, attempt, state);
      return;
    case "unclear":
      draft.add({ do: "forgetContainer", container: container.name, attempt, because: "its start was cut short" });
      return;
    case "none":
      planStart(container, draft, attempt, canStart, "it should run");
      return;
    case "exited":
      if (!state.forgotten) draft.add({ do: "forgetContainer", container: container.name, attempt, because: "it has ended" });
      if (!restarts(container, state.exit)) return;
      if (draft.nowMs < restartAtMs(state.exit, now?.backoffMs ?? 0)) draft.wakeAt(restartAtMs(state.exit, now?.backoffMs ?? 0));
      else if (state.forgotten) planStart(container, draft, attempt + 1, canStart, `it ended with exit code ${state.exit.exitCode}`);
  }
}

function planRunning(want: WantedPod, container: WantedContainer, draft: Draft, attempt: number, state: RunningState): void {
  const { name, image } = container;
  const { failed } = state.probes;
  if (state.image !== image) {
    planStop(want, container, draft, {
      because: `its image changed to ${image}`,
      tell: `Container ${name} definition changed, will be restarted`,
    });
  } else if (state.postStart === "failed") {
    planStop(want, container, draft, { because: "its postStart hook failed", tell: "FailedPostStartHook" });
  } else if (failed !== undefined) {
    const { kind, graceSeconds } = failed;
    const tell = `Container ${name} failed ${kind} probe, will be restarted`;
    planStop(want, container, draft, { because: `its ${kind} probe failed`, tell, graceSeconds });
  } else if (state.stoppingSinceMs !== undefined) {
    planStop(want, container, draft, { because: "its stop has begun" });
  } else if (state.postStart === "due") {
    draft.add({ do: "runPostStart", container: name, attempt, because: "it has started" });
  } else if (want.paused.includes(name) !== state.paused) {
    draft.add({ do: state.paused ? "resumeContainer" : "pauseContainer", container: name, attempt, because: "the pod says so" });
  }
}

function planStart({ name }: WantedContainer, draft: Draft, attempt: number, canStart: boolean, because: string): void {
  const isPrepared = draft.have.containers.get(name)?.prepared === attempt;
  if (!isPrepared) draft.add({ do: "prepareContainer", container: name, attempt, because });
  else if (canStart) draft.add({ do: "startContainer", container: name, attempt, because });
}

/** The pod ended by itself: it keeps its record, status and logs until its object is deleted, and gives everything else back. */
function planRetirement(want: WantedPod, draft: Draft): void {
  const { ended } = draft.have;
  const because = ended === undefined ? "the pod has ended" : `${ended.reason}: ${ended.message}`;
  if (!planStopAll(want, draft, { because })) return;
  for (const [container, { attempt, state }] of draft.have.containers) {
    if (state.is === "exited" && !state.forgotten) draft.add({ do: "forgetContainer", container, attempt, because });
  }
  if (draft.have.busy.size === 0 && draft.isEmpty) planTeardown(draft, because);
}

function planTermination(want: WantedPod, draft: Draft): void {
  const { have } = draft;
  if (isUntouched(have)) {
    draft.finish();
    return;
  }
  if (!planStopAll(want, draft, { because: "the pod is being deleted", killAtMs: have.killAtMs })) return;
  if (have.busy.size > 0) return;
  planRemoval(draft, "the pod is being deleted");
}

function planRemoval(draft: Draft, because: string): void {
  if (draft.have.busy.size > 0) return;
  if (!planTeardown(draft, because)) return;
  if (draft.have.folders !== "none") draft.add({ do: "removeFolders", because });
  else draft.finish();
}

/** Gives back whatever was begun, in the opposite order. True once nothing is owed. */
function planTeardown(draft: Draft, because: string): boolean {
  const { begun } = draft.have;
  if (begun.has("sandbox")) {
    draft.add({ do: "removeSandbox", because });
    return false;
  }
  // Without processes these no longer depend on each other.
  if (begun.has("netns")) draft.add({ do: "releaseNetns", because });
  if (begun.has("hostPorts")) draft.add({ do: "closeHostPorts", because });
  // Nothing leads to it any more.
  if (!begun.has("netns") && !begun.has("hostPorts") && begun.has("address")) draft.add({ do: "releaseAddress", because });
  if (begun.has("volumes")) draft.add({ do: "unmountVolumes", because });
  return begun.size === 0;
}

function isUntouched(have: ObservedPod): boolean {
  return have.folders === "none" && have.begun.size === 0 && have.busy.size === 0;
}
