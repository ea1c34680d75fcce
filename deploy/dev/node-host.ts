import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import { removeCgroup } from "./cgroups.ts";
import { type Cluster, ClusterFolder, type ClusterNode } from "./cluster-file.ts";
import { issueCredentials } from "./control-plane.ts";
import { type HostState, readHostState, startHost } from "./host-process.ts";
import { ensureCable, removeLink } from "./network.ts";
import type { DevSettings } from "./settings.ts";

/** Where a node has its data and its sockets; every node sees its own there. */
export const nodeDataFolder = "/var/lib/tessera";
export const nodeRunFolder = "/run/tessera";
export const nodeCgroupRoot = "tessera";

export const nodeCgroup = (cluster: Cluster, node: ClusterNode): string => `${cluster.cgroup}/${node.name}`;

/** Brings up what is missing of a node: folders, certificate, its init with the agent, and its cable. */
export async function ensureNode(cluster: Cluster, node: ClusterNode, settings: DevSettings): Promise<void> {
  const folder = new ClusterFolder(settings.home, cluster.name);
  await mkdir(folder.nodeData(node.name), { recursive: true, mode: 0o755 });
  const credentials = folder.nodeCredentials(node.name);
  if (!(await holdsCredentials(credentials))) await issueCredentials(cluster, settings, node.name, credentials);
  const state = (await readHostState(folder.nodeState(node.name))) ?? (await startNode(cluster, node, settings, folder));
  await ensureCable(cluster, node, state.self.pid);
}

async function startNode(cluster: Cluster, node: ClusterNode, settings: DevSettings, folder: ClusterFolder): Promise<HostState> {
  await removeCgroup(nodeCgroup(cluster, node));
  await removeLink(node.link);
  await startHost({
    program: join(settings.dist, "tessera-host"),
    kind: "node",
    cgroup: nodeCgroup(cluster, node),
    statePath: folder.nodeState(node.name),
    logPath: folder.agentLog(node.name),
    options: [
      ...["--name", node.name],
      ...["--bind", `${folder.nodeData(node.name)}:${nodeDataFolder}`],
      ...["--tmpfs", nodeRunFolder],
      ...["--await-address", "eth0"],
      ...(await resolverOptions()),
    ],
    command: agentCommand(cluster, node, settings, folder),
  });
  const state = await readHostState(folder.nodeState(node.name));
  if (state === undefined)
    throw new TesseraError("InternalError", `${node.name} ended right after its start; see ${folder.agentLog(node.name)}`);
  return state;
}

/**
 * Node.js' own options for an agent; a release has them in deploy/release/bin/launcher. Young objects get 1 MiB and not 16: an agent has few at
 * a time, and what the space grows to in a busy moment it keeps.
 */
export const agentNodeOptions: readonly string[] = ["--max-semi-space-size=2"];

/** And what it has in its environment: malloc keeps one arena, where each thread would have one for itself and keep what it grew to. */
export const agentEnvironment: readonly string[] = ["MALLOC_ARENA_MAX=1"];

function agentCommand(cluster: Cluster, node: ClusterNode, settings: DevSettings, folder: ClusterFolder): string[] {
  return [
    "/usr/bin/env",
    ...agentEnvironment,
    settings.node,
    ...agentNodeOptions,
    join(settings.dist, "agent.mjs"),
    "serve",
    ...["--node-name", node.name],
    ...["--node-address", node.address],
    ...["--control-plane", `${cluster.gateway}:${cluster.nodePort}`],
    ...["--credentials", folder.nodeCredentials(node.name)],
    ...["--data-dir", nodeDataFolder],
    ...["--run-dir", nodeRunFolder],
    ...["--cgroup-root", nodeCgroupRoot],
    ...["--native-dir", settings.dist],
    // Nodes share the machine's disk: what fills it is seldom theirs, and their images came from files.
    ...["--image-gc-high", "100", "--eviction-disk-available", "0"],
    // People who try things out do not want to wait for "top".
    ...["--usage-interval", "2"],
    ...(cluster.agentOptions ?? []),
  ];
}

async function holdsCredentials(folder: string): Promise<boolean> {
  for (const file of ["ca.crt", "node.crt", "node.key"]) {
    const info = await stat(join(folder, file)).catch(() => undefined);
    if (info === undefined || info.size === 0) return false;
  }
  return true;
}

/** A resolver on the machine's loopback cannot be reached from a node: there systemd-resolved's own upstream servers help. */
async function resolverOptions(): Promise<string[]> {
  const upstream = "/run/systemd/resolve/resolv.conf";
  const servers = (text: string) => [...text.matchAll(/^nameserver\s+(\S+)/gm)].map(([, server = ""]) => server);
  const own = servers(await readFile("/etc/resolv.conf", "utf8").catch(() => ""));
  const isLoopback = (server: string) => server.startsWith("127.") || server === "::1";
  if (own.some((server) => !isLoopback(server))) return [];
  const better = servers(await readFile(upstream, "utf8").catch(() => ""));
  return better.some((server) => !isLoopback(server)) ? ["--bind", `${upstream}:/etc/resolv.conf`] : [];
}
