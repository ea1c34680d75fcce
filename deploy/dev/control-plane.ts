import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import { removeCgroup } from "./cgroups.ts";
import { ClusterApi } from "./cluster-api.ts";
import { type Cluster, ClusterFolder } from "./cluster-file.ts";
import { mustRun } from "./command.ts";
import { readHostState, readTail, startHost } from "./host-process.ts";
import { type AdminAccess, readAdminAccess } from "./kubeconfig.ts";
import type { DevSettings } from "./settings.ts";
import { waitFor } from "./wait.ts";

export const controlPlaneCgroup = (cluster: Cluster): string => `${cluster.cgroup}/controlplane`;

/** A control plane that cannot even start does not get better by waiting. */
const hopelessStarts = 6;

/** Starts the control plane unless it runs. It is restarted by tessera-host when it dies. */
export async function ensureControlPlane(cluster: Cluster, settings: DevSettings): Promise<void> {
  const folder = new ClusterFolder(settings.home, cluster.name);
  if ((await readHostState(folder.controlPlaneState)) !== undefined) return;
  // Whoever watched over it was killed: end what is left, so that etcd's data has one owner.
  await removeCgroup(controlPlaneCgroup(cluster));
  await startHost({
    program: join(settings.dist, "tessera-host"),
    kind: "service",
    cgroup: controlPlaneCgroup(cluster),
    statePath: folder.controlPlaneState,
    logPath: folder.controlPlaneLog,
    options: ["--grace", "10000"],
    command: controlPlaneCommand(cluster, settings, folder),
  });
}

function controlPlaneCommand(cluster: Cluster, settings: DevSettings, folder: ClusterFolder): string[] {
  return [
    settings.node,
    join(settings.dist, "controlplane.mjs"),
    "serve",
    ...["--data-dir", folder.controlPlaneData],
    ...["--listen", `127.0.0.1:${cluster.apiPort}`],
    ...["--node-listen", `${cluster.gateway}:${cluster.nodePort}`],
    ...["--advertise", "127.0.0.1", "--advertise", "localhost", "--advertise", cluster.gateway],
    ...["--cluster-cidr", cluster.podCidr],
  ];
}

/** Waits until the API says that it is ready; returns how to reach it. */
export async function awaitControlPlane(
  cluster: Cluster,
  settings: DevSettings,
  deadlineMs: number,
  signal?: AbortSignal,
): Promise<AdminAccess> {
  const folder = new ClusterFolder(settings.home, cluster.name);
  const access = await waitFor(
    async () => {
      const state = await readHostState(folder.controlPlaneState);
      if (state === undefined || state.starts >= hopelessStarts) throw await controlPlaneFailure(folder, "ends again and again");
      return await tryAccess(folder, signal);
    },
    { deadlineMs, everyMs: 30, signal },
  );
  if (access === undefined) throw await controlPlaneFailure(folder, `was not ready within ${deadlineMs / 1000} s`);
  return access;
}

async function tryAccess(folder: ClusterFolder, signal?: AbortSignal): Promise<AdminAccess | undefined> {
  const access = await readAdminAccess(folder.adminKubeconfig).catch(() => undefined);
  if (access === undefined) return undefined;
  const api = new ClusterApi(access);
  try {
    return (await api.isReady(signal)) ? access : undefined;
  } catch (error) {
    if (error instanceof TesseraError) return undefined;
    throw error;
  } finally {
    api.close();
  }
}

async function controlPlaneFailure(folder: ClusterFolder, what: string): Promise<TesseraError> {
  const tail = await readTail(folder.controlPlaneLog, 12);
  return new TesseraError(
    "ServiceUnavailable",
    `the control plane ${what}; the end of ${folder.controlPlaneLog}:\n${tail.map((line) => `  ${line}`).join("\n")}`,
  );
}

/** Issues a node's certificate. */
export async function issueCredentials(cluster: Cluster, settings: DevSettings, node: string, out: string): Promise<void> {
  const folder = new ClusterFolder(settings.home, cluster.name);
  const program = join(settings.dist, "controlplane.mjs");
  await mustRun([settings.node, program, "node-credentials", "--data-dir", folder.controlPlaneData, "--name", node, "--out", out]);
}
