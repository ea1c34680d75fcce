import type { Container, ContainerStatus } from "@tessera/proto";
import type { ProcessSpec, ContainerState as RuntimeContainer, SandboxState } from "@tessera/runtime-native";
import type { LocalImage } from "../images/index.ts";
import type { ProbedContainer } from "../probes/prober.ts";
import { type ProbeVerdict, verdictAgain, verdictAtStart } from "../probes/schedule.ts";
import type { ResolvedUser } from "../process/user.ts";
import type { PreparedVolume } from "../volumes/volume.ts";
import { nextBackoffMs } from "./backoff.ts";
import type { ObservedContainer, ObservedPod, ObservedState, Presence, StepFailure } from "./observed.ts";
import { podOutcome } from "./plan.ts";
import { Terminated } from "./reasons.ts";
import { type Acquisition, attemptId, type ContainerExit, type ContainerRecord, type PodEnd, type PodRecord } from "./record.ts";
import { allContainers, containerStatuses, type WantedPod } from "./wanted.ts";

type RuntimeExit = Extract<RuntimeContainer, { phase: "exited" }>;

/** An image that was found for a container, and the folders of its attempt. */
export interface PreparedContainer {
  readonly attempt: number;
  readonly image: LocalImage;
  readonly lower: readonly string[];
  readonly user: ResolvedUser;
  /** The first process, once it runs. */
  readonly process?: ProcessSpec;
}

interface RunningAttempt {
  startedAtMs: number;
  postStart: "due" | "done" | "failed";
  probes: ProbeVerdict;
  paused: boolean;
  stoppingSinceMs: number | undefined;
  hasRunPreStop: boolean;
  stoppedAtMs: number | undefined;
  killedAtMs: number | undefined;
}

export interface RecoveredPod {
  readonly record: PodRecord;
  readonly address: string | undefined;
  /** What the runtime found of the pod; undefined when its shim is gone. */
  readonly sandbox: SandboxState | undefined;
  /** Exits that a shim left word of before it went. */
  readonly exits: readonly RuntimeExit[];
  /** What those that ended left to say, by the id of the attempt. */
  readonly lastWords: ReadonlyMap<string, string>;
  readonly nowMs: number;
}

/**
 * What the worker knows of its pod: the record, which is on disk as well, and beside it what only lives as long as the agent. All changes
 * go through here, and only the worker makes them.
 */
export class PodState implements ObservedPod {
  readonly record: PodRecord;
  folders: Presence;
  address: string | undefined;
  netns: Presence;
  netnsPath = "";
  hostPorts: Presence;
  sandbox: Presence;
  readonly volumes = new Map<string, "ready" | "stale">();
  readonly preparedVolumes = new Map<string, PreparedVolume>();
  /** Volumes whose content changed since it was last read. */
  readonly #changedVolumes = new Set<string>();
  readonly prepared = new Map<string, PreparedContainer>();
  readonly failures = new Map<string, StepFailure>();
  readonly busy = new Set<string>();
  readonly #running = new Map<string, RunningAttempt>();
  /** Attempts that were begun before the agent was killed, of which the runtime knows nothing. */
  readonly #unclear = new Set<string>();
  /** Containers whose last attempt has nothing left in the runtime and on disk. */
  readonly #forgotten = new Set<string>();

  private constructor(record: PodRecord, folders: Presence) {
    this.record = record;
    this.folders = folders;
    this.netns = "none";
    this.hostPorts = "none";
    this.sandbox = "none";
  }

  /** A pod that was never here. */
  static fresh(record: PodRecord): PodState {
    return new PodState(record, "none");
  }

  /** A pod whose record was found on disk. */
  static recovered(found: RecoveredPod): PodState {
    const { record, address, sandbox } = found;
    // The record is the first thing that is made; whether the rest of the folders came after it is not known.
    const state = new PodState(record, "unclear");
    state.address = address;
    // The pool knew it before the record did.
    if (address !== undefined) record.address = address;
    // They lead to the pod without an agent; only whether all do is not known, and the ports want to be held again.
    if (record.begun.includes("hostPorts")) state.hostPorts = "unclear";
    if (sandbox !== undefined) {
      state.sandbox = "there";
      state.netns = record.begun.includes("netns") ? "there" : "none";
      if (!record.begun.includes("sandbox")) record.begun.push("sandbox");
    } else {
      if (record.begun.includes("sandbox")) state.sandbox = "unclear";
      if (record.begun.includes("netns")) state.netns = "unclear";
    }
    for (const [name, container] of Object.entries(record.containers)) state.#recoverContainer(name, container, found);
    return state;
  }

  #recoverContainer(name: string, container: ContainerRecord, { sandbox, exits, lastWords, nowMs }: RecoveredPod): void {
    if (container.exit !== undefined) return;
    const candidates = [...(sandbox?.containers ?? []), ...exits];
    const found = candidates.find((one) => one.id === attemptId(name, container.attempt));
    if (found?.phase === "running") {
      const before = statusBefore(this.record, name, container.attempt);
      this.#enterRunning(name, found.startedAtMs, verdictAgain(this.#spec(name), before));
      this.notePaused(name, found.paused ?? false);
    } else if (found?.phase === "exited")
      this.noteExited(name, { ...toExit(container.attempt, found), message: lastWords.get(found.id) ?? "" });
    else if (container.startedAtMs !== undefined) this.noteExited(name, lostExit(container, nowMs));
    else this.#unclear.add(name);
  }

  get begun(): ReadonlySet<Acquisition> {
    return new Set(this.record.begun);
  }

  get killAtMs(): number | undefined {
    return this.record.killAtMs;
  }

  get startTimeMs(): number {
    return this.record.startTimeMs;
  }

  get ended(): PodEnd | undefined {
    return this.record.ended;
  }

  get containers(): ReadonlyMap<string, ObservedContainer> {
    return new Map(Object.entries(this.record.containers).map(([name, container]) => [name, this.#observe(name, container)]));
  }

  #observe(name: string, container: ContainerRecord): ObservedContainer {
    return {
      attempt: container.attempt,
      prepared: this.prepared.get(name)?.attempt ?? -1,
      state: this.#observeState(name, container),
      backoffMs: container.backoffMs,
    };
  }

  #observeState(name: string, container: ContainerRecord): ObservedState {
    if (container.exit !== undefined) return { is: "exited", exit: container.exit, forgotten: this.#forgotten.has(name) };
    const running = this.#running.get(name);
    if (running !== undefined) return { is: "running", ...running, image: container.image };
    return { is: this.#unclear.has(name) ? "unclear" : "none" };
  }

  /** Enters every container at attempt 0, so that one write of the record covers all their first starts. */
  enterContainers(want: WantedPod, defaultStopSignal: number): void {
    for (const { name, image } of allContainers(want)) {
      this.record.containers[name] ??= { attempt: 0, image, imageName: "", imageId: "", stopSignal: defaultStopSignal, backoffMs: 0 };
    }
  }

  /** Whether the container is in the record. Those that come to a pod that is here already are not, at first. */
  hasEntered(name: string): boolean {
    return this.record.containers[name] !== undefined;
  }

  container(name: string): ContainerRecord {
    const container = this.record.containers[name];
    if (container === undefined) throw new Error(`container "${name}" is not in the record of pod ${this.record.uid}`);
    return container;
  }

  isRunning(name: string): boolean {
    return this.#running.has(name);
  }

  /** Moves on to the attempt after one that has exited. */
  beginAttempt(name: string, attempt: number, image: string): void {
    const container = this.container(name);
    container.image = image;
    if (attempt === container.attempt) return;
    if (container.exit !== undefined) {
      container.backoffMs = nextBackoffMs(container.exit, container.backoffMs);
      container.lastExit = container.exit;
    }
    container.attempt = attempt;
    delete container.exit;
    delete container.startedAtMs;
    delete container.hasRunPostStart;
    this.#forgotten.delete(name);
  }

  noteStarted(name: string, startedAtMs: number): void {
    this.#enterRunning(name, startedAtMs, verdictAtStart(this.#spec(name)));
  }

  #enterRunning(name: string, startedAtMs: number, probes: ProbeVerdict): void {
    const container = this.container(name);
    container.startedAtMs = startedAtMs;
    this.#unclear.delete(name);
    const hasHook = this.#spec(name).lifecycle?.postStart !== undefined;
    const postStart = hasHook && !container.hasRunPostStart ? "due" : "done";
    const notStopping = { stoppingSinceMs: undefined, hasRunPreStop: false, stoppedAtMs: undefined, killedAtMs: undefined };
    this.#running.set(name, { startedAtMs, postStart, probes, paused: false, ...notStopping });
  }

  #spec(name: string): Container {
    const { initContainers = [], containers = [], ephemeralContainers = [] } = this.record.pod.spec ?? {};
    return [...initContainers, ...containers, ...ephemeralContainers].find((container) => container.name === name) ?? {};
  }

  notePaused(name: string, paused: boolean): void {
    const running = this.#running.get(name);
    if (running !== undefined) running.paused = paused;
  }

  /** The containers that there is anything to probe of: one that stands still would fail every probe. */
  probed(want: WantedPod): ProbedContainer[] {
    return [...want.init, ...want.apps].flatMap(({ name, spec }) => {
      const running = this.#running.get(name);
      if (running?.postStart !== "done" || running.paused) return [];
      const { startedAtMs, probes, stoppingSinceMs } = running;
      const isStopping = stoppingSinceMs !== undefined || want.desire.is !== "run";
      return [{ name, attempt: this.container(name).attempt, startedAtMs, spec, verdict: probes, isStopping }];
    });
  }

  noteProbed(name: string, attempt: number, verdict: ProbeVerdict): void {
    const running = this.#running.get(name);
    if (running !== undefined && this.container(name).attempt === attempt) running.probes = verdict;
  }

  notePostStart(name: string, attempt: number, outcome: "done" | "failed"): void {
    const running = this.#running.get(name);
    const container = this.container(name);
    if (running === undefined || container.attempt !== attempt) return;
    running.postStart = outcome;
    if (outcome === "done") container.hasRunPostStart = true;
  }

  /** Its stop begins. True if it had not begun before. */
  noteStopping(name: string, nowMs: number): boolean {
    const running = this.#running.get(name);
    if (running === undefined || running.stoppingSinceMs !== undefined) return false;
    running.stoppingSinceMs = nowMs;
    return true;
  }

  notePreStop(name: string, attempt: number): void {
    const running = this.#running.get(name);
    if (running !== undefined && this.container(name).attempt === attempt) running.hasRunPreStop = true;
  }

  /** A start failed in a way that may have left something behind. */
  noteUnclear(name: string): void {
    this.#unclear.add(name);
  }

  noteSignalled(name: string, signal: "stop" | "kill", nowMs: number): void {
    const running = this.#running.get(name);
    if (running === undefined) return;
    running.stoppingSinceMs ??= nowMs;
    running.stoppedAtMs ??= nowMs;
    if (signal === "kill") running.killedAtMs = nowMs;
  }

  noteExited(name: string, exit: ContainerExit): void {
    const container = this.container(name);
    container.exit = exit;
    this.#running.delete(name);
    this.#unclear.delete(name);
    this.prepared.delete(name);
    this.#forgotten.delete(name);
  }

  noteForgotten(name: string): void {
    this.#unclear.delete(name);
    this.prepared.delete(name);
    if (this.record.containers[name]?.exit !== undefined) this.#forgotten.add(name);
  }

  /** The shim is gone and its containers with it. A new sandbox runs the init containers again, as Kubernetes does. */
  noteSandboxLost(want: WantedPod, nowMs: number): void {
    this.sandbox = "unclear";
    // A recovered pod's namespace is only known by what lived in it.
    if (this.netns === "there" && this.netnsPath === "") this.netns = "unclear";
    for (const name of [...this.#running.keys()]) this.noteExited(name, lostExit(this.container(name), nowMs));
    if (podOutcome(want, this) !== undefined) return;
    for (const { name, kind } of want.init) {
      const container = this.record.containers[name];
      if (kind !== "init" || container?.exit?.exitCode !== 0) continue;
      this.beginAttempt(name, container.attempt + 1, container.image);
      container.backoffMs = 0;
    }
  }

  /** The volume's content is about to be read: changes from now on count anew. */
  noteVolumeRead(name: string): void {
    this.#changedVolumes.delete(name);
  }

  noteVolumeReady(name: string, prepared: PreparedVolume): void {
    this.preparedVolumes.set(name, prepared);
    this.volumes.set(name, this.#changedVolumes.has(name) ? "stale" : "ready");
  }

  noteVolumeChanged(name: string): void {
    this.#changedVolumes.add(name);
    if (this.volumes.has(name)) this.volumes.set(name, "stale");
  }

  noteVolumesRemoved(): void {
    this.volumes.clear();
    this.preparedVolumes.clear();
    this.noteReleased("volumes");
  }

  /** Nothing of the sandbox is left in the runtime. */
  noteSandboxRemoved(nowMs: number): void {
    this.sandbox = "none";
    for (const name of [...this.#running.keys()]) this.noteExited(name, lostExit(this.container(name), nowMs));
    this.noteReleased("sandbox");
  }

  /** An acquisition was given back. */
  noteReleased(acquisition: Acquisition): void {
    this.record.begun = this.record.begun.filter((one) => one !== acquisition);
  }
}

/** What was last reported of this attempt while it ran. */
function statusBefore({ status }: PodRecord, name: string, attempt: number): ContainerStatus | undefined {
  return containerStatuses(status).find((one) => one.name === name && one.restartCount === attempt && one.state?.running !== undefined);
}

export function toExit(attempt: number, ended: RuntimeExit): ContainerExit {
  const reason = ended.oomKilled ? Terminated.oomKilled : ended.exitCode === 0 ? Terminated.completed : Terminated.error;
  const { exitCode, signal, startedAtMs, finishedAtMs } = ended;
  return { attempt, exitCode, signal, reason, message: "", startedAtMs, finishedAtMs };
}

const LOST_EXIT_CODE = 137;

function lostExit(container: ContainerRecord, nowMs: number): ContainerExit {
  return {
    attempt: container.attempt,
    exitCode: LOST_EXIT_CODE,
    signal: 0,
    reason: Terminated.statusUnknown,
    message: "the pod's sandbox ended and the container with it; nobody saw its exit code",
    startedAtMs: container.startedAtMs ?? 0,
    finishedAtMs: nowMs,
  };
}
