import {
  type Container,
  type ContainerStatus,
  type EphemeralContainer,
  type Pod,
  type PodSpec,
  type PodStatus,
  pausedContainers,
  TesseraError,
} from "@tessera/proto";
import type { PodHostPort } from "@tessera/runtime-native";
import { publishedPorts } from "../network/published-ports.ts";

export type RestartPolicy = "Always" | "OnFailure" | "Never";

/** What is to become of a pod. */
export type Desire =
  | { readonly is: "run" }
  /** The object has a deletionTimestamp: stop the containers with grace, then remove everything. */
  | { readonly is: "terminate"; readonly graceSeconds: number }
  /** The object is gone: remove everything at once. */
  | { readonly is: "remove" };

export interface WantedContainer {
  readonly name: string;
  /**
   * init: runs to its end before the next starts. sidecar: an init container that keeps running. ephemeral: put into the pod while it runs, to
   * look at it; runs once, beside whatever else goes on, and the pod's own state takes no notice of it.
   */
  readonly kind: "init" | "sidecar" | "app" | "ephemeral";
  readonly restart: RestartPolicy;
  readonly image: string;
  /** ephemeral only: the container whose processes it sees. */
  readonly target?: string;
  readonly spec: Container;
}

/** A pod object as the planner sees it: defaults filled in, nothing optional. */
export interface WantedPod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly desire: Desire;
  readonly graceSeconds: number;
  /** How long after its start the pod is ended and has failed. */
  readonly deadlineSeconds: number | undefined;
  readonly hostNetwork: boolean;
  /** Ports of the node that are to lead to the pod; none for a pod in the node's network, whose ports are the node's own. */
  readonly hostPorts: readonly PodHostPort[];
  readonly volumes: readonly string[];
  /** Names of containers that are to stand still. */
  readonly paused: readonly string[];
  /** In the order in which they start. */
  readonly init: readonly WantedContainer[];
  readonly apps: readonly WantedContainer[];
  readonly ephemeral: readonly WantedContainer[];
  readonly pod: Pod;
}

const DEFAULT_GRACE_SECONDS = 30;

/** The planner's view of a pod object. Throws TesseraError "Invalid" when the object lacks what every stored pod has. */
export function toWanted(pod: Pod, released: boolean): WantedPod {
  const { uid, name, namespace } = pod.metadata ?? {};
  if (!uid || !name || !namespace) throw new TesseraError("Invalid", "pod object without metadata.uid, name or namespace");
  if (!isPathPart(uid)) throw new TesseraError("Invalid", `pod "${namespace}/${name}": metadata.uid "${uid}" cannot be a file name`);
  const spec = pod.spec ?? {};
  const policy = toRestartPolicy(spec.restartPolicy);
  const graceSeconds = spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
  return {
    uid,
    namespace,
    name,
    desire: released ? { is: "remove" } : toDesire(pod, graceSeconds),
    graceSeconds,
    deadlineSeconds: spec.activeDeadlineSeconds,
    hostNetwork: spec.hostNetwork ?? false,
    hostPorts: publishedPorts(spec),
    volumes: (spec.volumes ?? []).map((volume) => volume.name ?? ""),
    paused: pausedContainers(pod.metadata?.annotations, containerNames(spec)),
    init: (spec.initContainers ?? []).map((container) => toWantedInit(container, policy)),
    apps: (spec.containers ?? []).map((container) => toWantedContainer(container, "app", policy)),
    ephemeral: (spec.ephemeralContainers ?? []).map(toWantedEphemeral),
    pod,
  };
}

function containerNames(spec: PodSpec): string[] {
  return [...(spec.initContainers ?? []), ...(spec.containers ?? [])].map((container) => container.name ?? "");
}

function toDesire(pod: Pod, graceSeconds: number): Desire {
  if (pod.metadata?.deletionTimestamp === undefined) return { is: "run" };
  return { is: "terminate", graceSeconds: Math.max(0, pod.metadata.deletionGracePeriodSeconds ?? graceSeconds) };
}

function toWantedInit(container: Container, policy: RestartPolicy): WantedContainer {
  if (container.restartPolicy === "Always") return toWantedContainer(container, "sidecar", "Always");
  // An init container that succeeded is never run again, so "Always" means the same as "OnFailure" for it.
  return toWantedContainer(container, "init", policy === "Never" ? "Never" : "OnFailure");
}

function toWantedEphemeral({ targetContainerName: target, ...container }: EphemeralContainer): WantedContainer {
  return { ...toWantedContainer(container, "ephemeral", "Never"), ...(target ? { target } : {}) };
}

function toWantedContainer(spec: Container, kind: WantedContainer["kind"], restart: RestartPolicy): WantedContainer {
  const name = spec.name ?? "";
  if (!isPathPart(name)) throw new TesseraError("Invalid", `container name "${name}" cannot be a file name`);
  return { name, kind, restart, image: spec.image ?? "", spec };
}

function toRestartPolicy(policy: string | undefined): RestartPolicy {
  return policy === "OnFailure" || policy === "Never" ? policy : "Always";
}

/** Uids and names become parts of paths; the API server guards that, but this is the process that runs as root. */
function isPathPart(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(text);
}

/** All containers; those that the pod was made with in the order in which they start. */
export function allContainers(want: WantedPod): readonly WantedContainer[] {
  return [...want.init, ...want.apps, ...want.ephemeral];
}

/** What a status says of all containers. */
export function containerStatuses(status: PodStatus | undefined): readonly ContainerStatus[] {
  return [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? []), ...(status?.ephemeralContainerStatuses ?? [])];
}

export function findContainer(want: WantedPod, name: string): WantedContainer | undefined {
  return allContainers(want).find((container) => container.name === name);
}

/** The container's place in the pod object, as Events name it. */
export function fieldPathOf(container: WantedContainer): string {
  const fields = { init: "initContainers", sidecar: "initContainers", app: "containers", ephemeral: "ephemeralContainers" };
  return `spec.${fields[container.kind]}{${container.name}}`;
}
