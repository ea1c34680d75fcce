import { setTimeout as delay } from "node:timers/promises";
import { noSuchCluster, readAccess } from "./access.ts";
import { listChildren, listProcesses } from "./cgroups.ts";
import { ClusterApi } from "./cluster-api.ts";
import { type Cluster, ClusterFolder, readCluster, readClusters } from "./cluster-file.ts";
import { readHostState } from "./host-process.ts";
import { findStrangers, readInventory } from "./inventory.ts";
import { findLinks, findNatTables } from "./network.ts";
import { homeMark } from "./plan.ts";
import { checkPrerequisites } from "./prerequisites.ts";
import type { DevSettings } from "./settings.ts";

/** Something that is there although nothing wants it. The shape is stable: programs read it. */
export interface Leak {
  /** The node, or "machine". */
  readonly where: string;
  readonly kind: string;
  readonly name: string;
  /** The pod that it was made for; empty when it belongs to no pod. */
  readonly podUid: string;
}

export interface DoctorOptions {
  /** Undefined: all clusters of the home folder. */
  readonly name?: string;
  /** How long a leak must have been there to be one: pods that come and go have things of theirs for a moment. */
  readonly stableMs?: number;
  /** How long to look in all. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Compares what kernel and disk hold with what the API wants. What is wrong at a single look may be a pod on its way: only what
 * stays for `stableMs` over several looks is told. Returns at once when a look finds nothing.
 */
export async function findLeaks(options: DoctorOptions, settings: DevSettings): Promise<Leak[]> {
  await checkPrerequisites(settings);
  const clusters = await chooseClusters(options.name, settings);
  const look = async () => [
    ...(await findMachineLeaks(settings)),
    ...(await Promise.all(clusters.map((cluster) => findClusterLeaks(cluster, settings, options.signal)))).flat(),
  ];
  return await untilStable(look, { stableMs: options.stableMs ?? 3000, deadlineMs: options.deadlineMs ?? 15_000, signal: options.signal });
}

async function chooseClusters(name: string | undefined, settings: DevSettings): Promise<Cluster[]> {
  if (name === undefined) return await readClusters(settings.home);
  const cluster = await readCluster(new ClusterFolder(settings.home, name));
  if (cluster === undefined) throw noSuchCluster(name);
  return [cluster];
}

const keyOf = (leak: Leak): string => [leak.where, leak.kind, leak.name, leak.podUid].join("\0");

/** Looks again until nothing is found, or everything found has been there for `stableMs`, or the deadline passes. */
export async function untilStable(
  look: () => Promise<Leak[]>,
  options: { readonly stableMs: number; readonly deadlineMs: number; readonly everyMs?: number; readonly signal?: AbortSignal },
): Promise<Leak[]> {
  const end = performance.now() + options.deadlineMs;
  let firstSeen = new Map<string, number>();
  for (;;) {
    options.signal?.throwIfAborted();
    const now = performance.now();
    const found = await look();
    firstSeen = new Map(found.map((leak) => [keyOf(leak), firstSeen.get(keyOf(leak)) ?? now]));
    const isOld = (leak: Leak) => performance.now() - (firstSeen.get(keyOf(leak)) ?? now) >= options.stableMs;
    if (found.every(isOld)) return found;
    if (performance.now() >= end) return found.filter(isOld);
    await delay(options.everyMs ?? 250, undefined, { signal: options.signal });
  }
}

async function findClusterLeaks(cluster: Cluster, settings: DevSettings, signal?: AbortSignal): Promise<Leak[]> {
  const folder = new ClusterFolder(settings.home, cluster.name);
  const inventories = await Promise.all(
    cluster.nodes.map(async (node) => {
      const state = await readHostState(folder.nodeState(node.name));
      // A node that does not run holds nothing but its disk, which its agent clears at its next start.
      return state === undefined ? { node, items: [] } : { node, items: await readInventory(node, state.self.pid, settings, signal) };
    }),
  );
  // Nothing to compare: the control plane of a stopped cluster need not answer.
  if (inventories.every(({ items }) => items.length === 0)) return [];
  // After the inventory: a pod that is made in between must not look like a stranger.
  const api = new ClusterApi(await readAccess(cluster.name, settings));
  try {
    const pods = await api.listPods(signal);
    return inventories.flatMap(({ node, items }) =>
      findStrangers(items, pods, node.name).map((item) => ({ where: `${cluster.name}/${node.name}`, ...item })),
    );
  } finally {
    api.close();
  }
}

/** What the machine holds of clusters of this home folder that no longer exist. */
async function findMachineLeaks(settings: DevSettings): Promise<Leak[]> {
  const mark = homeMark(settings.home);
  const known = new Set((await readClusters(settings.home)).map((cluster) => cluster.id));
  const leaks: Leak[] = [];
  const add = (kind: string, name: string) => leaks.push({ where: "machine", kind, name, podUid: "" });
  for (const { id, name } of await findLinks(mark)) if (!known.has(id)) add("link", name);
  for (const { id, name } of await findNatTables(mark)) if (!known.has(id)) add("nftables", name);
  for (const id of await listChildren("tessera-dev")) {
    if (!id.startsWith(mark) || known.has(id)) continue;
    add("cgroup", `tessera-dev/${id}`);
    for (const pid of await listProcesses(`tessera-dev/${id}`)) add("process", String(pid));
  }
  return leaks;
}
