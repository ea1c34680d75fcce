import { readFile, rm, rmdir } from "node:fs/promises";
import { TesseraError } from "@tessera/proto";
import { removeCgroup, removeEmptyCgroup } from "./cgroups.ts";
import { type Cluster, ClusterFolder, contextName, readCluster } from "./cluster-file.ts";
import { endProcess, readHostState } from "./host-process.ts";
import { removeFromKubeconfig } from "./kubeconfig.ts";
import { hasAnyCluster, removeLink, removeNat, restoreForwarding } from "./network.ts";
import { nodeDataFolder, nodeRunFolder } from "./node-host.ts";
import { checkName } from "./plan.ts";
import { checkRoot } from "./prerequisites.ts";
import type { DevSettings, Progress } from "./settings.ts";
import { withClusterLock, withMachineLock } from "./up.ts";

export interface DownOptions {
  readonly name: string;
  readonly signal?: AbortSignal;
}

/**
 * Ends a cluster and removes everything of it, however far it had come. Returns false when there was no such cluster. The folder with
 * cluster.json goes last: whoever is killed on the way can be followed by a further `down`.
 */
export async function downCluster(options: DownOptions, settings: DevSettings, progress: Progress): Promise<boolean> {
  checkName(options.name);
  await checkRoot();
  return await withClusterLock(settings, options.name, options.signal, async () => {
    const folder = new ClusterFolder(settings.home, options.name);
    const cluster = await readCluster(folder);
    if (cluster === undefined) {
      // An `up` that was killed before its first file was in place.
      await removeFolder(folder.path);
      return false;
    }
    await removeFromKubeconfig(cluster.kubeconfig, contextName(cluster.name));
    progress.step(cluster.nodes.length === 1 ? "ending node-1" : `ending node-1 to node-${cluster.nodes.length}`);
    await Promise.all(cluster.nodes.map(async (node) => await endHost(folder.nodeState(node.name), 8000)));
    progress.step("ending the control plane");
    await endHost(folder.controlPlaneState, 15_000);
    progress.step("removing network, cgroups and files");
    await removeCgroup(cluster.cgroup);
    await withMachineLock(options.signal, async () => {
      await removeNetwork(cluster);
      if (!(await hasAnyCluster())) await restoreMachine();
    });
    await removeFolder(folder.path);
    await rmdir(settings.home).catch(keepIfUsed);
    return true;
  });
}

async function endHost(statePath: string, graceMs: number): Promise<void> {
  const state = await readHostState(statePath);
  if (state !== undefined) await endProcess(state.self, graceMs);
}

async function removeNetwork(cluster: Cluster): Promise<void> {
  for (const node of cluster.nodes) await removeLink(node.link);
  await removeLink(cluster.bridge);
  await removeNat(cluster.natTable);
}

/** Removes a folder, and refuses when something is mounted below: what is there might belong to somebody else. */
async function removeFolder(path: string): Promise<void> {
  const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").map((line) => line.split(" ")[4] ?? "");
  const below = mounts.filter((mount) => mount.startsWith(`${path}/`));
  if (below.length > 0) {
    throw new TesseraError(
      "Conflict",
      `${below.join(", ")}: mounted below ${path}, which is to be removed; unmount it and run the same command again`,
    );
  }
  await rm(path, { recursive: true, force: true });
}

/**
 * Takes back what all clusters share. Only once there is none: the kernel lets a folder be removed on which another mount namespace has
 * something mounted, and unmounts it there.
 */
async function restoreMachine(): Promise<void> {
  await restoreForwarding();
  await removeEmptyCgroup("tessera-dev");
  for (const path of [nodeDataFolder, nodeRunFolder]) await rmdir(path).catch(keepIfUsed);
}

function keepIfUsed(error: NodeJS.ErrnoException): void {
  if (!["ENOTEMPTY", "ENOENT", "EBUSY"].includes(error.code ?? "")) throw error;
}
