import type { Draft } from "./draft.ts";
import type { RunningState } from "./observed.ts";
import { allContainers, type WantedContainer, type WantedPod } from "./wanted.ts";

/** A preStop hook that takes all of the grace leaves the container so long to end after its stop signal. */
const GRACE_AFTER_HOOK_MS = 2_000;

/** A killed container should be gone at once; after this the whole sandbox is removed instead. */
const KILL_TAKES_AT_MOST_MS = 10_000;

/** Why and how containers are stopped. */
export interface StopOrder {
  readonly because: string;
  /** Words for the Event; "Stopping container ..." unless given. */
  readonly tell?: string;
  /** When a container that still runs is killed; unless given, after its grace. */
  readonly killAtMs?: number | undefined;
  /** Unless given, the pod's. */
  readonly graceSeconds?: number | undefined;
}

/** Stops a running container: preStop hook, stop signal, and at last a kill. True once it does not run. */
export function planStop(want: WantedPod, container: WantedContainer, draft: Draft, order: StopOrder): boolean {
  const observed = draft.have.containers.get(container.name);
  if (observed?.state.is !== "running") return true;
  const { state, attempt } = observed;
  const { killedAtMs } = state;
  if (killedAtMs === undefined) {
    const sinceMs = state.stoppingSinceMs ?? draft.nowMs;
    const killDueMs = order.killAtMs ?? sinceMs + (order.graceSeconds ?? want.graceSeconds) * 1000;
    if (state.paused && draft.nowMs < killDueMs) planResume(container, draft, attempt, killDueMs);
    else if (hasHookToRun(container, state) && draft.nowMs < killDueMs) planPreStop(container, draft, attempt, killDueMs, order);
    else planSignal(container, draft, attempt, state, killDueMs, order);
    return false;
  }
  // SIGKILL cannot be refused, but a process in an uninterruptible call dies late.
  if (draft.nowMs >= killedAtMs + KILL_TAKES_AT_MOST_MS) return true;
  draft.wakeAt(killedAtMs + KILL_TAKES_AT_MOST_MS);
  return false;
}

/** What stands still neither runs its hook nor hears the signal. */
function planResume({ name }: WantedContainer, draft: Draft, attempt: number, killDueMs: number): void {
  draft.add({ do: "resumeContainer", container: name, attempt, because: "it is to be stopped" });
  draft.wakeAt(killDueMs);
}

function hasHookToRun({ spec }: WantedContainer, state: RunningState): boolean {
  return spec.lifecycle?.preStop !== undefined && !state.hasRunPreStop && state.stoppedAtMs === undefined;
}

function planPreStop({ name }: WantedContainer, draft: Draft, attempt: number, killDueMs: number, { because, tell }: StopOrder): void {
  draft.add({ do: "runPreStop", container: name, attempt, because, tell: tell ?? `Stopping container ${name}` });
  draft.wakeAt(killDueMs);
}

function planSignal(
  { name, spec }: WantedContainer,
  draft: Draft,
  attempt: number,
  { stoppingSinceMs, stoppedAtMs }: RunningState,
  graceEndsMs: number,
  { because, tell = `Stopping container ${name}` }: StopOrder,
): void {
  const { nowMs } = draft;
  const hadHook = spec.lifecycle?.preStop !== undefined && stoppingSinceMs !== undefined;
  const killDueMs = hadHook ? Math.max(graceEndsMs, (stoppedAtMs ?? nowMs) + GRACE_AFTER_HOOK_MS) : graceEndsMs;
  if (nowMs >= killDueMs) {
    const late = stoppedAtMs === undefined ? because : `${because}, and its grace is over`;
    draft.add({ do: "signalContainer", container: name, attempt, signal: "kill", because: late, tell });
    return;
  }
  if (stoppedAtMs === undefined) draft.add({ do: "signalContainer", container: name, attempt, signal: "stop", because, tell });
  draft.wakeAt(killDueMs);
}

/** Stops everything: apps and init containers first, then sidecars from the last to the first. True once nothing runs. */
export function planStopAll(want: WantedPod, draft: Draft, order: StopOrder): boolean {
  const workers = allContainers(want).filter((container) => container.kind !== "sidecar");
  const stopped = workers.map((container) => planStop(want, container, draft, order));
  if (stopped.includes(false)) return false;
  const sidecars = want.init.filter((container) => container.kind === "sidecar");
  return sidecars.reverse().every((container) => planStop(want, container, draft, order));
}
