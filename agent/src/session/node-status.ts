import { readFile, statfs } from "node:fs/promises";
import { arch, release } from "node:os";
import { canonicalQuantity, type NodeCondition, type NodeStatus, VERSION } from "@tessera/proto";
import { toApiTime } from "../clock.ts";
import { formatBytes, hugepagesName } from "../hugepages.ts";
import type { LocalImage } from "../images/index.ts";
import type { NodeFacts } from "../node-facts.ts";

/** The Kubernetes version whose kubelet this agent stands for, and its own. */
export const KUBELET_VERSION = `v1.36.0-tessera.${VERSION}`;

const MAX_PODS = 110;
/** What Kubernetes keeps in a Node object. */
const MAX_IMAGES = 50;
/** Left to the agent and the system. */
const RESERVED_MEMORY_BYTES = 256 << 20;

/** What a node is and does not change while the agent runs. */
export interface NodeIdentity {
  readonly machineId: string;
  readonly systemUuid: string;
  readonly bootId: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly architecture: string;
  readonly ephemeralStorageBytes: number;
}

export async function readIdentity(dataDir: string): Promise<NodeIdentity> {
  const text = async (path: string) => (await readFile(path, "utf8").catch(() => "")).trim();
  const disk = await statfs(dataDir);
  const osRelease = await text("/etc/os-release");
  return {
    machineId: await text("/etc/machine-id"),
    systemUuid: await text("/sys/class/dmi/id/product_uuid"),
    bootId: await text("/proc/sys/kernel/random/boot_id"),
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(osRelease)?.[1] ?? "Linux",
    architecture: arch() === "x64" ? "amd64" : arch(),
    ephemeralStorageBytes: disk.blocks * disk.bsize,
  };
}

export interface NodeStatusInputs {
  readonly node: NodeFacts;
  readonly identity: NodeIdentity;
  readonly images: readonly LocalImage[];
  /** Why the node's network is not ready; undefined when it is. */
  readonly networkFailure: string | undefined;
  readonly hasDiskPressure: boolean;
  readonly before: NodeStatus | undefined;
  readonly nowMs: number;
}

/** The node's status; pure. */
export function nodeStatus({ node, identity, images, networkFailure, hasDiskPressure, before, nowMs }: NodeStatusInputs): NodeStatus {
  const capacity = {
    cpu: canonicalQuantity(`${node.cpuMillis}m`) ?? "0",
    memory: `${Math.floor(node.memoryBytes / 1024)}Ki`,
    "ephemeral-storage": `${Math.floor(identity.ephemeralStorageBytes / 1024)}Ki`,
    pods: String(MAX_PODS),
    ...Object.fromEntries(node.hugepages.map(({ pageBytes, count }) => [hugepagesName(pageBytes), formatBytes(pageBytes * count)])),
  };
  const hugepageBytes = node.hugepages.reduce((total, { pageBytes, count }) => total + pageBytes * count, 0);
  const allocatable = {
    ...capacity,
    memory: `${Math.max(0, Math.floor((node.memoryBytes - RESERVED_MEMORY_BYTES - hugepageBytes) / 1024))}Ki`,
    "ephemeral-storage": `${Math.floor((identity.ephemeralStorageBytes * 0.9) / 1024)}Ki`,
  };
  return {
    capacity,
    allocatable,
    addresses: [...node.addresses.map((address) => ({ type: "InternalIP", address })), { type: "Hostname", address: node.hostname }],
    conditions: conditions(networkFailure, hasDiskPressure, before, nowMs),
    nodeInfo: {
      architecture: identity.architecture,
      bootID: identity.bootId,
      containerRuntimeVersion: `tessera://${VERSION}`,
      kernelVersion: identity.kernelVersion,
      kubeProxyVersion: KUBELET_VERSION,
      kubeletVersion: KUBELET_VERSION,
      machineID: identity.machineId,
      operatingSystem: "linux",
      osImage: identity.osImage,
      systemUUID: identity.systemUuid,
    },
    images: [...images]
      .sort((a, b) => b.sizeBytes - a.sizeBytes)
      .slice(0, MAX_IMAGES)
      .map(({ names, digests, sizeBytes }) => ({ names: [...digests, ...names], sizeBytes })),
  };
}

function conditions(
  networkFailure: string | undefined,
  hasDiskPressure: boolean,
  before: NodeStatus | undefined,
  nowMs: number,
): NodeCondition[] {
  const ready =
    networkFailure === undefined
      ? { status: "True", reason: "KubeletReady", message: "the agent is ready" }
      : { status: "False", reason: "KubeletNotReady", message: `the node's network is not ready: ${networkFailure}` };
  const disk = hasDiskPressure
    ? { status: "True", reason: "KubeletHasDiskPressure", message: "the node's disk is nearly full; pods are evicted" }
    : { status: "False", reason: "KubeletHasNoDiskPressure", message: "the node has enough disk space" };
  const wanted: NodeCondition[] = [
    { type: "MemoryPressure", status: "False", reason: "KubeletHasSufficientMemory", message: "the node has enough memory" },
    { type: "DiskPressure", ...disk },
    { type: "PIDPressure", status: "False", reason: "KubeletHasSufficientPID", message: "the node has enough process ids" },
    { type: "Ready", ...ready },
  ];
  return wanted.map((condition) => {
    const earlier = before?.conditions?.find((one) => one.type === condition.type && one.status === condition.status);
    const lastTransitionTime = earlier?.lastTransitionTime ?? toApiTime(nowMs);
    return { ...condition, lastHeartbeatTime: toApiTime(nowMs), lastTransitionTime };
  });
}

/** What the node is short of: types of conditions. */
export function pressuresOf(status: NodeStatus | undefined): string[] {
  const isTrue = (condition: NodeCondition) => condition.status === "True";
  return (status?.conditions ?? []).flatMap((one) => (one.type?.endsWith("Pressure") && isTrue(one) ? [one.type] : []));
}

/** Labels that the agent gives its Node object. */
export function nodeLabels(node: NodeFacts, identity: NodeIdentity): Record<string, string> {
  return {
    "kubernetes.io/hostname": node.name,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": identity.architecture,
  };
}
