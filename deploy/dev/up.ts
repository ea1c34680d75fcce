import { mkdir } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { type Cluster, ClusterFolder, contextName, readCluster, readClusters, writeCluster } from "./cluster-file.ts";
import { awaitControlPlane, ensureControlPlane } from "./control-plane.ts";
import { type AdminAccess, addToKubeconfig } from "./kubeconfig.ts";
import { withLock } from "./lock.ts";
import { readLinks, readOutsideMtu, readTaken } from "./machine.ts";
import { ensureClusterNetwork } from "./network.ts";
import { ensureNode } from "./node-host.ts";
import { checkName, defaultNodeCount, growCluster, planCluster } from "./plan.ts";
import { holdPorts } from "./ports.ts";
import { checkPrerequisites } from "./prerequisites.ts";
import { awaitNodes } from "./readiness.ts";
import type { DevSettings, Progress } from "./settings.ts";

export interface UpOptions {
  readonly name: string;
  /** Undefined: as many as the cluster has, or three for a new one. */
  readonly nodes?: number;
  /** Further words for the agents that are started, also by later calls; the last one of a name counts. Undefined: as before. */
  readonly agentOptions?: readonly string[];
  /** How long the control plane, and then the nodes, may take to become ready. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Brings a cluster up, or what is missing of it: each step looks first and changes only what is not as it should be, so that it is
 * quick on a running cluster and carries on where an earlier one was killed.
 */
export async function upCluster(options: UpOptions, settings: DevSettings, progress: Progress): Promise<Cluster> {
  checkName(options.name);
  await checkPrerequisites(settings);
  return await withClusterLock(settings, options.name, options.signal, async () => {
    const { cluster, ports } = await withMachineLock(options.signal, async () => {
      const planned = await planOrRead(options, settings);
      progress.step(`network ${planned.subnet} on ${planned.bridge}`);
      await ensureClusterNetwork(planned);
      return { cluster: planned, ports: await holdPorts([planned.apiPort, planned.nodePort]) };
    });
    const access = await startControlPlane(cluster, ports, options, settings, progress);
    progress.step(cluster.nodes.length === 1 ? "node-1" : `node-1 to node-${cluster.nodes.length}`);
    await Promise.all(cluster.nodes.map((node) => ensureNode(cluster, node, settings)));
    await addToKubeconfig(cluster.kubeconfig, contextName(cluster.name), access);
    progress.step("waiting for the nodes to become Ready");
    await awaitNodes(cluster, settings, access, options);
    return cluster;
  });
}

/** Returns how to reach it. Its ports are held until it listens at them itself. */
async function startControlPlane(
  cluster: Cluster,
  ports: AsyncDisposable,
  options: UpOptions,
  settings: DevSettings,
  progress: Progress,
): Promise<AdminAccess> {
  await using _held = ports;
  progress.step("control plane, etcd and nats-server");
  await ensureControlPlane(cluster, settings);
  return await awaitControlPlane(cluster, settings, options.deadlineMs, options.signal);
}

/** What is taken is looked up and the new cluster written down under one lock, so that two clusters never choose the same. */
async function planOrRead(options: UpOptions, settings: DevSettings): Promise<Cluster> {
  const folder = new ClusterFolder(settings.home, options.name);
  const existing = await readCluster(folder);
  if (existing !== undefined) {
    const { agentOptions = existing.agentOptions } = options;
    const wanted = { ...growCluster(existing, options.nodes ?? existing.nodes.length), agentOptions };
    if (!isDeepStrictEqual(wanted, { agentOptions: undefined, ...existing })) await writeCluster(folder, wanted);
    return wanted;
  }
  await mkdir(settings.home, { recursive: true, mode: 0o755 });
  const links = await readLinks();
  const wish = {
    name: options.name,
    nodes: options.nodes ?? defaultNodeCount,
    home: settings.home,
    kubeconfig: settings.kubeconfig,
    mtu: await readOutsideMtu(links),
    createdAt: new Date().toISOString(),
  };
  const planned = planCluster(wish, { ...(await readTaken(links)), clusters: await readClusters(settings.home) });
  const cluster = { ...planned, agentOptions: options.agentOptions };
  await writeCluster(folder, cluster);
  return cluster;
}

/** One `up` or `down` at a time for a cluster. What a killed one had started ends soon. */
export async function withClusterLock<T>(
  settings: DevSettings,
  name: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const busy = `another tsctl brings the cluster "${name}" up or down for 10 s already`;
  return await withLock(`${settings.home}/${name}`, { waitMs: 10_000, busy, signal }, work);
}

/** For what all clusters of the machine share. */
export async function withMachineLock<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  return await withLock("machine", { waitMs: 30_000, busy: "another tsctl changes this machine's network for 30 s already", signal }, work);
}
