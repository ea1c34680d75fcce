import { isCancellation, type PodStatus, TesseraError } from "@tessera/proto";
import { type ProcessSpec, type ContainerState as RuntimeContainer, RuntimeError } from "@tessera/runtime-native";
import { withDeadline } from "../clock.ts";
import { podReferences } from "../objects/pod-references.ts";
import { keyOf, type ObjectKey } from "../objects/referenced-objects.ts";
import { runProbe } from "../probes/probe.ts";
import type { ProbeResult } from "../probes/probe-result.ts";
import { Prober } from "../probes/prober.ts";
import type { ProbeKind } from "../probes/schedule.ts";
import { isLimited, type PodStorage, podStorage } from "../storage/pod-storage.ts";
import { StorageWatch } from "../storage/storage-watch.ts";
import { showsPod, volumeReferences } from "../volumes/content.ts";
import { type Footprint, podFootprint } from "./admission.ts";
import { actionTarget, containerProcess, type RunningPod } from "./container-process.ts";
import type { PodDependencies, PodEvent } from "./dependencies.ts";
import { describePlan, type Plan } from "./draft.ts";
import { failureEvents } from "./failure-event.ts";
import type { StepFailure } from "./observed.ts";
import { planPod, podDeadlineMs, podOutcome } from "./plan.ts";
import { EventReason, PodReason, Waiting } from "./reasons.ts";
import { type PodEnd, parseAttemptId } from "./record.ts";
import { type PodState, toExit } from "./state.ts";
import { podPhase, podStatus, statusChangesAt } from "./status.ts";
import { hookSubject, type PodStep, stepKey, stepSubject } from "./step.ts";
import { StepError } from "./step-error.ts";
import { isPokedBy, isSetUp, isTearDown, type Poke, retryAfterMs, stepDeadlineMs } from "./step-rules.ts";
import { messageOf, runStep, type StepContext } from "./steps.ts";
import type { PodFolders, RecordFile } from "./store.ts";
import { readLastWords } from "./termination-message.ts";
import { allContainers, containerStatuses, fieldPathOf, findContainer, type WantedContainer, type WantedPod } from "./wanted.ts";

type RuntimeExit = Extract<RuntimeContainer, { phase: "exited" }>;

/** While a pod is being set up without a hitch its "ContainerCreating" is not worth a write, unless it takes longer than this. */
const QUIET_START_MS = 250;

export interface WorkerParts {
  readonly want: WantedPod;
  readonly state: PodState;
  readonly folders: PodFolders;
  readonly file: RecordFile;
}

/**
 * Looks after one pod: compares what is wanted with what is there, does what the plan says, reports what came of it, and looks again when
 * anything happens. One worker per pod, none waits for another.
 *
 * All state is changed on the event loop by this worker alone: by steps while they run (no two on one subject), by `update` and by
 * runtime events. A crash at any point is an early next look by the next agent's worker, from the record and from what the runtime says.
 */
export class PodWorker {
  readonly #deps: PodDependencies;
  readonly #state: PodState;
  readonly #folders: PodFolders;
  readonly #file: RecordFile;
  readonly #prober: Prober;
  readonly #storageWatch: StorageWatch;
  /** Of what is fixed when a pod is created. */
  readonly footprint: Footprint;
  readonly #stopping = new AbortController();
  readonly #running = new Map<string, { step: PodStep; cancel: AbortController; done: Promise<void> }>();
  /** Exits that were heard of while the container's start was still under way. */
  readonly #earlyExits = new Map<string, RuntimeExit>();
  readonly #takingExits = new Set<Promise<void>>();
  #want: WantedPod;
  /** Whether what it writes is bounded. */
  #isLimited: boolean;
  #looking = false;
  #ended = false;
  #cancelTimer: (() => void) | undefined;
  readonly #listeners = new Set<() => void>();
  #reported = "";
  #quietUntilMs: number | undefined;

  constructor(deps: PodDependencies, { want, state, folders, file }: WorkerParts) {
    this.#deps = deps;
    this.#want = want;
    this.#isLimited = isLimited(want);
    this.footprint = podFootprint(want.pod);
    this.#state = state;
    this.#folders = folders;
    this.#file = file;
    this.#storageWatch = new StorageWatch({
      clock: deps.clock,
      onExceeded: (message) => this.evict(message),
      onError: (error) => deps.log.warn({ pod: want.uid, err: error }, "could not tell how much the pod has written"),
    });
    this.#prober = new Prober({
      clock: deps.clock,
      probe: (name, settings, signal) => runProbe(settings, actionTarget(this.#pod, this.#container(name)), signal),
      onVerdict: (name, attempt, verdict) => {
        this.#state.noteProbed(name, attempt, verdict);
        this.#wake();
      },
      onFailure: (name, kind, result) => this.#tellProbeFailure(name, kind, result),
    });
  }

  get want(): WantedPod {
    return this.#want;
  }

  get state(): PodState {
    return this.#state;
  }

  get folders(): PodFolders {
    return this.#folders;
  }

  /** Begins to act. Before this the worker only takes in what it is told. */
  start(): void {
    this.#noteDesire();
    this.#wake();
  }

  /** Takes over a newer pod object, or word that the object is gone. */
  update(want: WantedPod): void {
    const before = this.#want;
    this.#want = want;
    this.#isLimited = isLimited(want);
    this.#state.record.pod = want.pod;
    this.#state.record.released = want.desire.is === "remove";
    if (before.desire.is !== want.desire.is) this.#state.failures.clear();
    this.#noteDesire();
    this.#noteImageChanges(before, want);
    for (const volume of want.pod.spec?.volumes ?? []) if (showsPod(volume)) this.#state.noteVolumeChanged(volume.name ?? "");
    if (this.#state.folders !== "none") this.#saveSoon();
    this.#wake();
  }

  /** Some objects changed: volumes that show them are brought up to date, and what failed for want of them is tried again. */
  objectsChanged(keys: ReadonlySet<string>): void {
    const names = (references: readonly ObjectKey[]) => references.some((key) => keys.has(keyOf(key)));
    if (!names(podReferences(this.#want.pod))) return;
    for (const volume of this.#want.pod.spec?.volumes ?? []) {
      if (names(volumeReferences(volume, this.#want.pod))) this.#state.noteVolumeChanged(volume.name ?? "");
    }
    this.poke("objects");
  }

  poke(what: Poke): void {
    for (const [key, failure] of this.#state.failures) {
      if (isPokedBy(what, key)) this.#state.failures.set(key, { ...failure, retryAtMs: 0 });
    }
    this.#wake();
  }

  containerExited(exit: RuntimeExit): void {
    const id = parseAttemptId(exit.id);
    if (id === undefined || this.#ended) return;
    if (!this.#state.isRunning(id.container)) this.#earlyExits.set(exit.id, exit);
    else this.#beginTakingExit(exit);
  }

  #beginTakingExit(exit: RuntimeExit): void {
    const taking = this.#takeExit(exit).finally(() => this.#takingExits.delete(taking));
    this.#takingExits.add(taking);
  }

  /** The shim is gone. What it could still say of exits came before. */
  async sandboxLost(): Promise<void> {
    await Promise.all(this.#takingExits);
    // Not ours to mend: a step that makes or removes the sandbox is under way and reports for itself.
    if (this.#ended || this.#state.busy.has("sandbox") || this.#state.sandbox !== "there") return;
    this.#state.noteSandboxLost(this.#want, this.#deps.clock.now());
    this.#emit("Warning", EventReason.sandboxChanged, "Pod sandbox changed, it will be killed and re-created.");
    this.#saveSoon();
    this.#wake();
  }

  /** Whether this attempt of the container runs. */
  isRunning(container: string, attempt: number): boolean {
    return this.#state.isRunning(container) && this.#state.container(container).attempt === attempt;
  }

  /** Calls back when the pod may have changed, and when it is gone. Returns a function that ends the subscription. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The first process of a running container, for commands to be run like it. */
  async process(container: WantedContainer): Promise<ProcessSpec> {
    return await containerProcess(this.#pod, container);
  }

  /** Stops looking; the pod lives on. Resolves when no step is under way any more. */
  async stop(): Promise<void> {
    this.#ended = true;
    this.#stopping.abort();
    this.#cancelTimer?.();
    this.#prober.stop();
    this.#storageWatch.stop();
    await Promise.all([...this.#running.values()].map((running) => running.done));
    await this.#file.settled();
  }

  #noteDesire(): void {
    const { desire } = this.#want;
    if (desire.is === "terminate") {
      // A grace period can be shortened by a later deletion, never prolonged.
      const killAtMs = this.#deps.clock.now() + desire.graceSeconds * 1000;
      this.#state.record.killAtMs = Math.min(this.#state.record.killAtMs ?? killAtMs, killAtMs);
    }
    if (desire.is !== "run") this.#cancelSetUp();
    if (desire.is === "remove") for (const { step, cancel } of this.#running.values()) if (step.do === "runPreStop") cancel.abort();
  }

  #cancelSetUp(): void {
    for (const { step, cancel } of this.#running.values()) if (isSetUp(step)) cancel.abort();
  }

  /** A pod that is still at work when its deadline comes has failed. */
  #noteDeadline(nowMs: number): void {
    const deadlineMs = podDeadlineMs(this.#want, this.#state);
    if (deadlineMs === undefined || nowMs < deadlineMs || this.#want.desire.is !== "run") return;
    if (podOutcome(this.#want, this.#state) !== undefined) return;
    this.#endPod("Normal", {
      reason: PodReason.deadlineExceeded,
      message: "Pod was active on the node longer than the specified deadline",
    });
  }

  /** The pod fails, whatever its containers do. */
  #endPod(type: PodEvent["type"], end: PodEnd): void {
    this.#state.record.ended = end;
    this.#emit(type, end.reason, end.message);
    this.#cancelSetUp();
    this.#saveSoon(true);
  }

  /** The pod fails because it took too much, or because the node needs the room (`isDisruption`). */
  evict(message: string, isDisruption = false): void {
    if (this.#ended || this.#want.desire.is !== "run" || podOutcome(this.#want, this.#state) !== undefined) return;
    this.#endPod("Warning", { reason: PodReason.evicted, message, ...(isDisruption ? { isDisruption } : {}) });
    this.#wake();
  }

  /** What the pod may fill of the disk, while it is at work. */
  get storage(): PodStorage | undefined {
    const isActive = this.#want.desire.is === "run" && podOutcome(this.#want, this.#state) === undefined;
    return isActive ? podStorage(this.#want, this.#state, this.#folders) : undefined;
  }

  /** Names and ids of the images that it runs or is about to, as long as anything of it may run. */
  images(): string[] {
    const { sandbox, record, prepared } = this.#state;
    if (podOutcome(this.#want, this.#state) !== undefined && sandbox === "none") return [];
    return [
      ...allContainers(this.#want).map(({ image }) => image),
      ...Object.values(record.containers).flatMap(({ imageId }) => (imageId === "" ? [] : [imageId])),
      ...[...prepared.values()].map(({ image }) => image.id),
    ];
  }

  /** Whether its part of the node is nobody else's: until it has ended, or its object is gone. */
  get holdsRoom(): boolean {
    const phase = podPhase(this.#want, this.#state);
    return this.#want.desire.is !== "remove" && phase !== "Succeeded" && phase !== "Failed";
  }

  /** Whether it still has anything that it would give back at its end. */
  get isHolding(): boolean {
    return this.#state.record.begun.length > 0;
  }

  #container(name: string): WantedContainer {
    const container = findContainer(this.#want, name);
    if (container === undefined) throw new TesseraError("InternalError", `the pod has no container "${name}"`);
    return container;
  }

  get #pod(): RunningPod {
    return { ...this.#deps, want: this.#want, state: this.#state };
  }

  #tellProbeFailure(name: string, kind: ProbeKind, { outcome, message }: ProbeResult): void {
    const word = `${kind.charAt(0).toUpperCase()}${kind.slice(1)}`;
    const what = outcome === "failure" ? "failed" : "errored";
    this.#emit("Warning", EventReason.unhealthy, `${word} probe ${what}: ${message}`, fieldPathOf(this.#container(name)));
  }

  /** A container that does not run yet takes the new image with its next try. */
  #noteImageChanges(before: WantedPod, want: WantedPod): void {
    for (const { name, image } of [...want.init, ...want.apps]) {
      if (findContainer(before, name)?.image === image || this.#state.isRunning(name)) continue;
      this.#state.prepared.delete(name);
      this.#state.failures.delete(`prepareContainer ${name}`);
      this.#state.failures.delete(`startContainer ${name}`);
    }
  }

  /** Several reasons to look within one turn make one look. */
  #wake(): void {
    if (this.#looking || this.#ended) return;
    this.#looking = true;
    queueMicrotask(() => {
      this.#looking = false;
      if (!this.#ended) this.#look();
    });
  }

  #look(): void {
    const { clock, log } = this.#deps;
    const nowMs = clock.now();
    this.#noteDeadline(nowMs);
    const plan = planPod(this.#want, this.#state, nowMs);
    if (plan.steps.length > 0) log.debug({ pod: this.#want.uid, plan: describePlan(plan) }, "plan");
    for (const step of plan.steps) this.#begin(step);
    this.#prober.follow(this.#state.probed(this.#want));
    this.#storageWatch.follow(this.#isLimited ? this.storage : undefined);
    this.#report(nowMs);
    for (const listener of this.#listeners) listener();
    if (plan.gone) this.#finish();
    else this.#setTimer(plan, nowMs);
  }

  #setTimer(plan: Plan, nowMs: number): void {
    this.#cancelTimer?.();
    const times = [plan.wakeAtMs, statusChangesAt(this.#statusInputs(nowMs)), this.#quietUntilMs].filter((time) => time !== undefined);
    this.#cancelTimer = times.length === 0 ? undefined : this.#deps.clock.wakeAt(Math.min(...times), () => this.#wake());
  }

  #begin(step: PodStep): void {
    const subject = stepSubject(step);
    const cancel = new AbortController();
    this.#state.busy.add(subject);
    // The grace is over, or the container is to go without its hook.
    if (step.do === "signalContainer") this.#running.get(hookSubject(step.container))?.cancel.abort();
    const done = this.#run(step, cancel.signal).finally(() => {
      this.#running.delete(subject);
      this.#state.busy.delete(subject);
      this.#wake();
    });
    this.#running.set(subject, { step, cancel, done });
  }

  async #run(step: PodStep, cancelled: AbortSignal): Promise<void> {
    const key = stepKey(step);
    const wanted = AbortSignal.any([this.#stopping.signal, cancelled]);
    const deadlineMs = stepDeadlineMs(step);
    const signal = deadlineMs === undefined ? wanted : withDeadline(wanted, deadlineMs);
    const startedAtMs = performance.now();
    try {
      await runStep(step, this.#context(), signal);
      this.#deps.log.debug({ pod: this.#want.uid, step: key, ms: performance.now() - startedAtMs }, "step done");
      this.#state.failures.delete(key);
      if (this.#ended) return;
      if (step.do === "startContainer") this.#afterStart(step.container);
      else if (this.#want.desire.is === "run" && isTearDown(step)) this.#saveSoon();
    } catch (error) {
      if (this.#ended || ((isCancellation(error) || isCancellation(causeOf(error))) && cancelled.aborted)) return;
      this.#fail(step, key, error);
    }
  }

  #context(): StepContext {
    const emit = (event: PodEvent) => this.#deps.reports.event(this.#want, event);
    const target = (container: WantedContainer) => actionTarget(this.#pod, container);
    return { ...this.#deps, want: this.#want, state: this.#state, folders: this.#folders, file: this.#file, emit, target };
  }

  /** The start is known to the record now, and an exit that overtook it can be taken in. */
  #afterStart(container: string): void {
    this.#saveSoon();
    const { attempt } = this.#state.container(container);
    for (const [id, exit] of this.#earlyExits) {
      if (parseAttemptId(id)?.container !== container) continue;
      this.#earlyExits.delete(id);
      if (parseAttemptId(id)?.attempt === attempt) this.#beginTakingExit(exit);
    }
  }

  #fail(step: PodStep, key: string, error: unknown): void {
    const { clock, log } = this.#deps;
    const count = (this.#state.failures.get(key)?.count ?? 0) + 1;
    const waiting = error instanceof StepError ? error.waiting : "container" in step && !isTearDown(step) ? Waiting.createError : "";
    const atMs = clock.now();
    const failure: StepFailure = {
      message: messageOf(error),
      reason: waiting,
      atMs,
      count,
      retryAtMs: atMs + retryAfterMs(waiting, count),
    };
    const isNews = this.#state.failures.get(key)?.message !== failure.message;
    this.#state.failures.set(key, failure);
    // What the pod or the node lacks is told by its message; only what nobody foresaw needs its origin.
    const isForeseen = error instanceof StepError || error instanceof TesseraError || error instanceof RuntimeError;
    log.warn(
      { pod: this.#want.uid, step: key, because: step.because, count, ...(isForeseen ? { reason: messageOf(error) } : { err: error }) },
      "step failed",
    );
    const container = "container" in step ? findContainer(this.#want, step.container) : undefined;
    for (const event of failureEvents({ step, failure, container, isNews })) this.#deps.reports.event(this.#want, event);
  }

  #emit(type: PodEvent["type"], reason: string, message: string, fieldPath = ""): void {
    this.#deps.reports.event(this.#want, { type, reason, message, fieldPath });
  }

  async #takeExit(exit: RuntimeExit): Promise<void> {
    const id = parseAttemptId(exit.id);
    if (id === undefined || !this.#state.isRunning(id.container) || this.#state.container(id.container).attempt !== id.attempt) return;
    const message = await readLastWords(this.#want, this.#folders, { ...id, exitCode: exit.exitCode });
    if (this.#ended || !this.#state.isRunning(id.container)) return;
    this.#state.noteExited(id.container, { ...toExit(id.attempt, exit), message });
    this.#running.get(hookSubject(id.container))?.cancel.abort();
    this.#emitBackOff(id.container);
    // That a container which is not to run again has run must outlive even a power cut.
    this.#saveSoon(findContainer(this.#want, id.container)?.restart !== "Always");
    this.#wake();
  }

  #emitBackOff(name: string): void {
    const container = findContainer(this.#want, name);
    const { backoffMs, exit } = this.#state.container(name);
    if (container === undefined || backoffMs === 0 || this.#want.desire.is !== "run" || container.restart === "Never") return;
    if (container.restart === "OnFailure" && exit?.exitCode === 0) return;
    const message = `Back-off restarting failed container ${name} in pod ${this.#want.name}_${this.#want.namespace}(${this.#want.uid})`;
    this.#emit("Warning", EventReason.backOff, message, fieldPathOf(container));
  }

  #statusInputs(nowMs: number) {
    return { want: this.#want, have: this.#state, record: this.#state.record, hostAddresses: this.#deps.node.addresses, nowMs };
  }

  /** The pod's status as it is now. */
  status(): PodStatus {
    return podStatus(this.#statusInputs(this.#deps.clock.now()));
  }

  #report(nowMs: number): void {
    const status = podStatus(this.#statusInputs(nowMs));
    // While a pod is taken down only its containers are news.
    const { desire } = this.#want;
    const text = JSON.stringify(desire.is === "run" ? status : [status.phase, containerStatuses(status)]);
    if (text === this.#reported) return;
    if (this.#isQuietStart(status)) {
      this.#quietUntilMs ??= nowMs + QUIET_START_MS;
      if (nowMs < this.#quietUntilMs) return;
    }
    this.#quietUntilMs = undefined;
    this.#reported = text;
    this.#state.record.status = status;
    this.#deps.reports.status(this.#want, status);
    if (this.#state.folders !== "none") this.#saveSoon();
  }

  #isQuietStart(status: PodStatus): boolean {
    return status.phase === "Pending" && this.#want.desire.is === "run" && this.#state.failures.size === 0 && this.#state.busy.size > 0;
  }

  /** Nothing waits for this write: what it says can be found out again, or is only shown. */
  #saveSoon(durable = false): void {
    if (this.#state.folders === "none") return;
    this.#file.save({ durable }).catch((error: unknown) => {
      this.#deps.log.error({ pod: this.#want.uid, err: error }, "could not write the pod's record");
    });
  }

  #finish(): void {
    this.#ended = true;
    this.#cancelTimer?.();
    this.#prober.stop();
    this.#storageWatch.stop();
    this.#deps.reports.gone(this.#want);
    for (const listener of this.#listeners) listener();
  }
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}
