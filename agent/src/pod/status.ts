import type { ContainerState, ContainerStatus, PodCondition, PodStatus, VolumeMount, VolumeMountStatus } from "@tessera/proto";
import { toApiTime } from "../clock.ts";
import { signalName } from "../process/signals.ts";
import { containerId } from "./container-id.ts";
import type { ObservedPod, ObservedState, StepFailure } from "./observed.ts";
import { hasStarted, podOutcome, restarts } from "./plan.ts";
import { qosClass } from "./qos.ts";
import { byTheNode, Condition, NotReady, Terminated, Waiting } from "./reasons.ts";
import { attemptId, type ContainerExit, type ContainerRecord, type PodRecord } from "./record.ts";
import { allContainers, type WantedContainer, type WantedPod } from "./wanted.ts";

/** All that a pod's status is made of. */
export interface StatusInputs {
  readonly want: WantedPod;
  readonly have: ObservedPod;
  readonly record: PodRecord;
  /** The node's own addresses, the first one being its main one. */
  readonly hostAddresses: readonly string[];
  readonly nowMs: number;
}

/** How long the full error of a failed image or start is shown before the container counts as backing off. */
export const ERROR_SHOWN_MS = 2_000;

/** The pod's status as Kubernetes words it; pure. Conditions keep their transition times from `record.status`. */
export function podStatus(inputs: StatusInputs): PodStatus {
  const { want, have, record, hostAddresses } = inputs;
  const init = want.init.map((container) => containerStatus(container, inputs));
  const apps = want.apps.map((container) => containerStatus(container, inputs));
  const ephemeral = want.ephemeral.map((container) => ephemeralStatus(container, inputs));
  const phase = podPhase(want, have);
  const hostIPs = hostAddresses.map((ip) => ({ ip }));
  const podAddresses = want.hostNetwork ? hostAddresses : podAddress(inputs);
  // As in Kubernetes a pod that was turned away has no containers to tell of.
  const isKnown = have.ended === undefined || Object.keys(record.containers).length > 0;
  const status: PodStatus = {
    phase,
    ...(phase === "Failed" && have.ended !== undefined ? { reason: have.ended.reason, message: have.ended.message } : {}),
    conditions: conditions(inputs, phase, init, apps),
    hostIP: hostAddresses[0],
    hostIPs: hostIPs.length > 0 ? hostIPs : undefined,
    podIP: podAddresses[0],
    podIPs: podAddresses.length > 0 ? podAddresses.map((ip) => ({ ip })) : undefined,
    startTime: toApiTime(record.startTimeMs),
    initContainerStatuses: isKnown && init.length > 0 ? init : undefined,
    containerStatuses: isKnown ? apps : undefined,
    ephemeralContainerStatuses: ephemeral.length > 0 ? ephemeral : undefined,
    qosClass: want.pod.status?.qosClass ?? qosClass(want.pod),
  };
  const generation = want.pod.metadata?.generation;
  if (generation !== undefined) status.observedGeneration = generation;
  // Through JSON, so that the value equals what a reader of the report gets: without undefined fields.
  return JSON.parse(JSON.stringify(status)) as PodStatus;
}

/** When the status changes though nothing happens: a full error gives way to the word for backing off. */
export function statusChangesAt({ want, have, nowMs }: StatusInputs): number | undefined {
  const times: number[] = [];
  for (const failure of have.failures.values()) if (failure.reason === Waiting.errImagePull) times.push(failure.atMs);
  for (const container of allContainers(want)) {
    const exit = exitOf(container, have);
    if (exit?.reason === Terminated.startError) times.push(exit.finishedAtMs);
  }
  const ahead = times.map((time) => time + ERROR_SHOWN_MS).filter((time) => time > nowMs);
  return ahead.length > 0 ? Math.min(...ahead) : undefined;
}

/** An ended pod keeps showing the address it had. */
function podAddress({ have, record }: StatusInputs): readonly string[] {
  const address = have.sandbox === "none" && !isAnyEnded(have) ? undefined : record.address;
  return address === undefined ? [] : [address];
}

function isAnyEnded(have: ObservedPod): boolean {
  return [...have.containers.values()].some((container) => container.state.is === "exited" || container.attempt > 0);
}

/** Kubernetes' rule: Pending until every container has started once; over only when none will start again. */
export function podPhase(want: WantedPod, have: ObservedPod): string {
  const outcome = podOutcome(want, have);
  const running = [...have.containers.values()].some((container) => container.state.is === "running");
  if (outcome !== undefined && !running) return outcome;
  if (want.desire.is !== "run" && !running && want.apps.every((container) => isExited(container, have))) {
    return want.apps.every((container) => exitOf(container, have)?.exitCode === 0) ? "Succeeded" : "Failed";
  }
  if (!want.init.every((container) => isInitialized(container, have)) && !hasEveryAppStarted(want, have)) return "Pending";
  return hasEveryAppStarted(want, have) ? "Running" : "Pending";
}

function hasEveryAppStarted(want: WantedPod, have: ObservedPod): boolean {
  return want.apps.every(({ name }) => {
    const now = have.containers.get(name);
    return now !== undefined && (now.attempt > 0 || isPastPostStart(now.state) || now.state.is === "exited");
  });
}

/** As in Kubernetes a container counts as running when its postStart hook has run. */
function isPastPostStart(state: ObservedState): boolean {
  return state.is === "running" && state.postStart !== "due";
}

function exitOf(container: WantedContainer, have: ObservedPod): ContainerExit | undefined {
  const state = have.containers.get(container.name)?.state;
  return state?.is === "exited" ? state.exit : undefined;
}

function isExited(container: WantedContainer, have: ObservedPod): boolean {
  return exitOf(container, have) !== undefined;
}

function isInitialized(container: WantedContainer, have: ObservedPod): boolean {
  const now = have.containers.get(container.name);
  if (container.kind === "sidecar") return now !== undefined && (now.attempt > 0 || hasStarted(container, have));
  return exitOf(container, have)?.exitCode === 0;
}

function conditions(
  inputs: StatusInputs,
  phase: string,
  init: readonly ContainerStatus[],
  apps: readonly ContainerStatus[],
): PodCondition[] {
  const { want, have, record, nowMs } = inputs;
  const hasEnded = phase === "Succeeded" || phase === "Failed";
  const uninitialized = want.init.filter((container) => !isInitialized(container, have)).map((container) => container.name);
  const isInit = uninitialized.length === 0 || phase === "Succeeded" || hasEveryAppStarted(want, have);
  const unready = [...init.filter((status) => isSidecar(want, status)), ...apps].filter((status) => !status.ready).map(nameOf);
  const readiness = hasEnded
    ? { status: "False", reason: phase === "Succeeded" ? NotReady.podCompleted : NotReady.podFailed }
    : unready.length > 0
      ? { status: "False", reason: NotReady.containersNotReady, message: `containers with unready status: [${unready.join(" ")}]` }
      : { status: "True" };
  const initialized = isInit
    ? { status: "True", ...(phase === "Succeeded" ? { reason: NotReady.podCompleted } : {}) }
    : {
        status: "False",
        reason: NotReady.containersNotInitialized,
        message: `containers with incomplete status: [${uninitialized.join(" ")}]`,
      };
  const wanted: PodCondition[] = [
    { type: Condition.podReadyToStartContainers, status: have.sandbox === "there" ? "True" : "False" },
    { type: Condition.initialized, ...initialized },
    { type: Condition.ready, ...(readiness.status === "True" ? gatedReadiness(want) : readiness) },
    { type: Condition.containersReady, ...readiness },
  ];
  const before = record.status?.conditions ?? want.pod.status?.conditions ?? [];
  const paused = pausedCondition(inputs);
  if (paused.status === "True" || before.some(({ type }) => type === paused.type)) wanted.push(paused);
  if (have.ended?.isDisruption)
    wanted.push({ type: Condition.disruptionTarget, status: "True", reason: byTheNode, message: have.ended.message });
  return wanted.map((condition) => {
    const earlier = before.find((one) => one.type === condition.type && one.status === condition.status);
    return { ...condition, lastTransitionTime: earlier?.lastTransitionTime ?? toApiTime(nowMs) };
  });
}

/** There from the first pause on. */
function pausedCondition({ want, have }: StatusInputs): { type: string; status: string; reason?: string; message?: string } {
  const names = allContainers(want).flatMap(({ name }) => {
    const state = have.containers.get(name)?.state;
    return state?.is === "running" && state.paused ? [name] : [];
  });
  if (names.length === 0) return { type: Condition.paused, status: "False" };
  return { type: Condition.paused, status: "True", reason: "Paused", message: `containers that stand still: [${names.join(" ")}]` };
}

/** Whether the conditions that others set, and that the pod asks for, are all there and True. */
function gatedReadiness({ pod }: WantedPod): { status: string; reason?: string; message?: string } {
  const set = pod.status?.conditions ?? [];
  const faults = (pod.spec?.readinessGates ?? []).flatMap(({ conditionType = "" }) => {
    const condition = set.find((one) => one.type === conditionType);
    if (condition === undefined) return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    if (condition.status === "True") return [];
    return [`the status of pod readiness gate "${conditionType}" is not "True", but ${condition.status}`];
  });
  return faults.length === 0 ? { status: "True" } : { status: "False", reason: NotReady.readinessGates, message: faults.join(", ") };
}

function nameOf(status: ContainerStatus): string {
  return status.name ?? "";
}

function isSidecar(want: WantedPod, status: ContainerStatus): boolean {
  return want.init.some((container) => container.name === status.name && container.kind === "sidecar");
}

function containerStatus(container: WantedContainer, inputs: StatusInputs): ContainerStatus {
  const { want, have, record } = inputs;
  const observed = have.containers.get(container.name);
  const remembered = record.containers[container.name];
  const state = containerState(container, inputs);
  const isRunning = state.running !== undefined;
  const last = lastExit(remembered, state);
  // An attempt that never got as far as the runtime does not count as a restart.
  const restartCount = observed?.attempt ?? 0;
  const current = remembered?.startedAtMs !== undefined || remembered?.exit !== undefined ? restartCount : restartCount - 1;
  return {
    name: container.name,
    state,
    lastState: last === undefined ? {} : terminated(want.uid, container.name, last),
    // An init container is ready once it has succeeded.
    ready: container.kind === "init" ? state.terminated?.exitCode === 0 : isReady(container, have),
    restartCount: Math.max(0, restartCount),
    image: remembered?.imageName || container.image,
    imageID: remembered?.imageId ?? "",
    containerID: current >= 0 ? containerId(want.uid, attemptId(container.name, current)) : undefined,
    ...(current >= 0 && remembered !== undefined ? givenTo(container, remembered) : {}),
    started: container.kind === "init" ? isRunning : hasStarted(container, have),
  };
}

/** What an attempt that came to run was given. */
function givenTo({ spec }: WantedContainer, { stopSignal, user }: ContainerRecord): Partial<ContainerStatus> {
  const { resources = {}, volumeMounts = [] } = spec;
  return {
    stopSignal: signalName(stopSignal),
    resources,
    allocatedResources: resources.requests,
    user: user && { linux: { uid: user.uid, gid: user.gid, supplementalGroups: [...user.additionalGids] } },
    volumeMounts: volumeMounts.length > 0 ? volumeMounts.map(mountStatus) : undefined,
  };
}

/** What is below a mount that cannot be written to cannot be either, whatever `recursiveReadOnly` of the mount says. */
function mountStatus({ name, mountPath, readOnly = false }: VolumeMount): VolumeMountStatus {
  return { name, mountPath, ...(readOnly ? { readOnly, recursiveReadOnly: "Enabled" } : {}) };
}

/** Nothing waits for an ephemeral container to be up, so it is never said to be. */
function ephemeralStatus(container: WantedContainer, inputs: StatusInputs): ContainerStatus {
  return { ...containerStatus(container, inputs), ready: false, started: undefined };
}

function isReady(container: WantedContainer, have: ObservedPod): boolean {
  const state = have.containers.get(container.name)?.state;
  return state?.is === "running" && state.postStart === "done" && state.probes.ready && !state.paused;
}

/** How the attempt before ended; while a container waits for its restart that is the one it waits after. */
function lastExit(remembered: ContainerRecord | undefined, state: ContainerState): ContainerExit | undefined {
  if (remembered?.exit !== undefined && state.waiting !== undefined) return remembered.exit;
  return remembered?.lastExit;
}

function containerState(container: WantedContainer, inputs: StatusInputs): ContainerState {
  const { want, have, nowMs } = inputs;
  const observed = have.containers.get(container.name);
  const state = observed?.state;
  if (state?.is === "running" && state.postStart !== "due") return { running: { startedAt: toApiTime(state.startedAtMs) } };
  const failure = failureOf(container, have);
  if (state?.is === "exited") {
    const willRestart = restarts(container, state.exit) && want.desire.is === "run" && podOutcome(want, have) === undefined;
    if (!willRestart) return terminated(want.uid, container.name, state.exit);
    if (failure !== undefined) return waitingFor(container, failure, nowMs);
    return waitingForRestart(container, inputs, state.exit, observed?.backoffMs ?? 0);
  }
  if (failure !== undefined) return waitingFor(container, failure, nowMs);
  const waitsForInit = container.kind === "app" && !want.init.every((one) => isInitialized(one, have));
  const waitsForEarlier = want.init.includes(container) && isBehindAnother(container, inputs);
  if (waitsForInit || waitsForEarlier) return { waiting: { reason: Waiting.podInitializing } };
  const message = podFailure(have) ?? missingTarget(container, have);
  return {
    waiting: {
      reason: want.init.length > 0 && container.kind !== "ephemeral" ? Waiting.podInitializing : Waiting.containerCreating,
      message,
    },
  };
}

function isBehindAnother(container: WantedContainer, { want, have }: StatusInputs): boolean {
  const place = want.init.indexOf(container);
  return !want.init.slice(0, place).every((one) => isInitialized(one, have));
}

/** What keeps the pod as a whole from being set up: a volume, the network, the sandbox. */
function podFailure(have: ObservedPod): string | undefined {
  for (const [key, failure] of have.failures) if (failure.reason === "") return `${key}: ${failure.message}`;
  return undefined;
}

/** Why a container that is to see another's processes does not start. */
function missingTarget({ target }: WantedContainer, have: ObservedPod): string | undefined {
  if (target === undefined || have.containers.get(target)?.state.is === "running") return undefined;
  return `container "${target}", whose processes it is to see, does not run`;
}

function failureOf(container: WantedContainer, have: ObservedPod): StepFailure | undefined {
  return have.failures.get(`prepareContainer ${container.name}`) ?? have.failures.get(`startContainer ${container.name}`);
}

function waitingFor(container: WantedContainer, failure: StepFailure, nowMs: number): ContainerState {
  if (failure.reason === Waiting.errImagePull && nowMs >= failure.atMs + ERROR_SHOWN_MS) {
    return { waiting: { reason: Waiting.imagePullBackOff, message: `Back-off pulling image "${container.image}": ${failure.message}` } };
  }
  return { waiting: { reason: failure.reason, message: failure.message } };
}

function waitingForRestart(container: WantedContainer, inputs: StatusInputs, exit: ContainerExit, backoffMs: number): ContainerState {
  const { want, nowMs } = inputs;
  if (backoffMs === 0) return terminated(want.uid, container.name, exit);
  if (exit.reason === Terminated.startError && nowMs < exit.finishedAtMs + ERROR_SHOWN_MS) {
    return { waiting: { reason: Waiting.runError, message: exit.message } };
  }
  const pod = `${want.name}_${want.namespace}(${want.uid})`;
  const message = `back-off ${formatDelay(backoffMs)} restarting failed container=${container.name} pod=${pod}`;
  return { waiting: { reason: Waiting.crashLoop, message } };
}

/** "10s", "1m20s", "5m0s", as Kubernetes prints durations. */
export function formatDelay(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

function terminated(uid: string, container: string, exit: ContainerExit): ContainerState {
  return {
    terminated: {
      exitCode: exit.exitCode,
      signal: exit.signal > 0 ? exit.signal : undefined,
      reason: exit.reason,
      message: exit.message === "" ? undefined : exit.message,
      startedAt: toApiTime(exit.startedAtMs),
      finishedAt: toApiTime(exit.finishedAtMs),
      containerID: containerId(uid, attemptId(container, exit.attempt)),
    },
  };
}
