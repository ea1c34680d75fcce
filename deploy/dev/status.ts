import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Node } from "@tessera/proto";
import { listProcesses } from "./cgroups.ts";
import { ClusterApi } from "./cluster-api.ts";
import { type Cluster, ClusterFolder, contextName, readCluster, readClusters } from "./cluster-file.ts";
import { controlPlaneCgroup } from "./control-plane.ts";
import { readHostState } from "./host-process.ts";
import { readAdminAccess } from "./kubeconfig.ts";
import { isReady } from "./readiness.ts";
import type { DevSettings } from "./settings.ts";

/** One running part of a cluster. The shape is stable: programs read it. */
export interface PartStatus {
  readonly kind: "controlplane" | "etcd" | "nats-server" | "node" | "agent";
  /** "controlplane", "etcd", "nats-server", "node-1", "node-1 agent": no two parts have the same. */
  readonly name: string;
  /** Where it is reached: URL, "HOST:PORT", or the node's address. Empty when not known while it does not run. */
  readonly address: string;
  readonly dataFolder: string;
  readonly logFile: string;
  /** As this machine sees it; null when it does not run. For a node: its init. */
  readonly pid: number | null;
  /** Nodes only are Ready or NotReady, by what the API says while their init runs. */
  readonly state: "Running" | "Stopped" | "Ready" | "NotReady";
}

export interface ClusterStatus {
  readonly name: string;
  /** Running: every part runs and every node is Ready. Stopped: no part runs. */
  readonly state: "Running" | "Degraded" | "Stopped";
  readonly server: string;
  readonly context: string;
  readonly kubeconfig: string;
  readonly folder: string;
  readonly subnet: string;
  readonly podCidr: string;
  readonly bridge: string;
  readonly createdAt: string;
  readonly parts: readonly PartStatus[];
}

/** Undefined when there is no such cluster. */
export async function clusterStatus(name: string, settings: DevSettings): Promise<ClusterStatus | undefined> {
  const cluster = await readCluster(new ClusterFolder(settings.home, name));
  return cluster === undefined ? undefined : await describeCluster(cluster, settings);
}

export async function listClusters(settings: DevSettings): Promise<ClusterStatus[]> {
  const clusters = await readClusters(settings.home);
  return await Promise.all(clusters.map(async (cluster) => await describeCluster(cluster, settings)));
}

async function describeCluster(cluster: Cluster, settings: DevSettings): Promise<ClusterStatus> {
  const folder = new ClusterFolder(settings.home, cluster.name);
  const nodes = await askNodes(folder);
  const parts = [
    ...(await controlPlaneParts(cluster, folder)),
    ...(await Promise.all(cluster.nodes.map((node) => nodeParts(node, folder, nodes)))).flat(),
  ];
  return {
    name: cluster.name,
    state: overall(parts),
    server: `https://127.0.0.1:${cluster.apiPort}`,
    context: contextName(cluster.name),
    kubeconfig: cluster.kubeconfig,
    folder: folder.path,
    subnet: cluster.subnet,
    podCidr: cluster.podCidr,
    bridge: cluster.bridge,
    createdAt: cluster.createdAt,
    parts,
  };
}

function overall(parts: readonly PartStatus[]): ClusterStatus["state"] {
  if (parts.every((part) => part.state === "Running" || part.state === "Ready")) return "Running";
  return parts.every((part) => part.pid === null) ? "Stopped" : "Degraded";
}

const running = (pid: number | null): "Running" | "Stopped" => (pid === null ? "Stopped" : "Running");

async function controlPlaneParts(cluster: Cluster, folder: ClusterFolder): Promise<PartStatus[]> {
  const state = await readHostState(folder.controlPlaneState);
  const pid = state?.command?.pid ?? null;
  const embedded = await readEmbedded(cluster, folder);
  const part = (kind: "etcd" | "nats-server", address: string, dataFolder: string, pid: number | null): PartStatus => ({
    kind,
    name: kind,
    address,
    dataFolder: join(folder.controlPlaneData, dataFolder),
    logFile: join(folder.controlPlaneData, dataFolder, `${kind}.log`),
    pid,
    state: running(pid),
  });
  return [
    {
      kind: "controlplane",
      name: "controlplane",
      address: `https://127.0.0.1:${cluster.apiPort}`,
      dataFolder: folder.controlPlaneData,
      logFile: folder.controlPlaneLog,
      pid,
      state: running(pid),
    },
    part("etcd", embedded.etcd.address, "etcd", embedded.etcd.pid),
    part("nats-server", embedded.nats.address, "nats", embedded.nats.pid),
  ];
}

/** A pid from a file is believed only of a process in the control plane's own cgroup. */
async function readEmbedded(
  cluster: Cluster,
  folder: ClusterFolder,
): Promise<Record<"etcd" | "nats", { address: string; pid: number | null }>> {
  const text = await readFile(join(folder.controlPlaneData, "ports.json"), "utf8").catch(() => "{}");
  const ports: { etcd?: { pid?: number; clientUrl?: string }; nats?: { pid?: number; url?: string } } = JSON.parse(text);
  const alive = new Set(await listProcesses(controlPlaneCgroup(cluster)));
  const check = (pid: number | undefined) => (pid !== undefined && alive.has(pid) ? pid : null);
  return {
    etcd: { address: ports.etcd?.clientUrl ?? "", pid: check(ports.etcd?.pid) },
    nats: { address: ports.nats?.url ?? "", pid: check(ports.nats?.pid) },
  };
}

async function nodeParts(node: Cluster["nodes"][number], folder: ClusterFolder, nodes: readonly Node[]): Promise<PartStatus[]> {
  const state = await readHostState(folder.nodeState(node.name));
  const logFile = folder.agentLog(node.name);
  const dataFolder = folder.nodeData(node.name);
  const common = { address: node.address, dataFolder, logFile };
  const object = nodes.find((candidate) => candidate.metadata?.name === node.name);
  const readiness = object !== undefined && isReady(object) ? "Ready" : "NotReady";
  const agent = state?.command?.pid ?? null;
  return [
    { kind: "node", name: node.name, ...common, pid: state?.self.pid ?? null, state: state === undefined ? "Stopped" : readiness },
    { kind: "agent", name: `${node.name} agent`, ...common, pid: agent, state: running(agent) },
  ];
}

/** What the API says of the nodes; nothing when it does not answer at once. */
async function askNodes(folder: ClusterFolder): Promise<readonly Node[]> {
  const access = await readAdminAccess(folder.adminKubeconfig).catch(() => undefined);
  if (access === undefined) return [];
  const api = new ClusterApi(access);
  try {
    return (await api.listNodes(AbortSignal.timeout(3000))).items;
  } catch {
    // Down or starting: that is what the parts' own states say.
    return [];
  } finally {
    api.close();
  }
}
