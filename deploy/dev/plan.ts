import { createHash } from "node:crypto";
import { TesseraError } from "@tessera/proto";
import type { Cluster, ClusterNode } from "./cluster-file.ts";
import { addressAt, formatBlock, type Ipv4Block, overlaps, parseBlock } from "./ipv4.ts";

export const defaultNodeCount = 3;
export const maxNodeCount = 50;

/** What is taken on this machine. */
export interface Taken {
  /** Destinations of all routes but the default ones. */
  readonly routes: readonly Ipv4Block[];
  /** Names of all links. */
  readonly links: ReadonlySet<string>;
  readonly clusters: readonly Cluster[];
  /** TCP ports that somebody on this machine listens on, or is about to. */
  readonly ports: ReadonlySet<number>;
}

export interface Wish {
  readonly name: string;
  readonly nodes: number;
  readonly home: string;
  readonly kubeconfig: string;
  readonly mtu: number;
  readonly createdAt: string;
}

/** Decides the names, addresses and ports of a new cluster. Makes nothing. */
export function planCluster(wish: Wish, taken: Taken): Cluster {
  checkName(wish.name);
  const id = chooseId(wish, taken);
  const subnet = chooseSubnet(taken);
  const ports = choosePorts(taken);
  return {
    version: 1,
    name: wish.name,
    id,
    createdAt: wish.createdAt,
    subnet: formatBlock(subnet),
    gateway: addressAt(subnet, 1),
    bridge: `tsd-${id}`,
    mtu: wish.mtu,
    natTable: `tessera-dev-${id}`,
    cgroup: `tessera-dev/${id}`,
    ...ports,
    podCidr: choosePodCidr(taken),
    nodes: planNodes(id, subnet, wish.nodes),
    kubeconfig: wish.kubeconfig,
  };
}

/** The same cluster with so many nodes, which must not be fewer than it has. */
export function growCluster(cluster: Cluster, count: number): Cluster {
  if (count < cluster.nodes.length) {
    throw new TesseraError(
      "BadRequest",
      `cluster "${cluster.name}" has ${cluster.nodes.length} nodes and nodes are not taken away from a running cluster; ` +
        `to have ${count}, run "tsctl dev down --name ${cluster.name}" first`,
    );
  }
  const subnet = parseBlock(cluster.subnet);
  if (subnet === undefined) throw new TesseraError("InternalError", `cluster "${cluster.name}": "${cluster.subnet}" is no subnet`);
  return { ...cluster, nodes: planNodes(cluster.id, subnet, count) };
}

/** A name becomes part of a folder, a context and messages. */
export function checkName(name: string): void {
  if (/^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$/.test(name)) return;
  throw new TesseraError(
    "BadRequest",
    `"${name}" cannot be the name of a cluster: up to 40 lower case letters, digits and "-", beginning and ending with a letter or digit`,
  );
}

function planNodes(id: string, subnet: Ipv4Block, count: number): ClusterNode[] {
  if (!Number.isInteger(count) || count < 1 || count > maxNodeCount) {
    throw new TesseraError("BadRequest", `a development cluster has 1 to ${maxNodeCount} nodes, not ${count}`);
  }
  return Array.from({ length: count }, (_, index) => ({
    name: `node-${index + 1}`,
    address: addressAt(subnet, index + 2),
    link: `tsd-${id}-${index + 1}`,
  }));
}

const hex = (text: string, digits: number): string => createHash("sha256").update(text).digest("hex").slice(0, digits);

/** The part of an id that says which home folder the cluster belongs to: clusters of other folders are none of our business. */
export const homeMark = (home: string): string => hex(home, 3);

function chooseId(wish: Wish, taken: Taken): string {
  const used = new Set(taken.clusters.map((cluster) => cluster.id));
  for (let attempt = 0; attempt < 4096; attempt++) {
    const id = homeMark(wish.home) + hex(`${wish.name}/${attempt}`, 3);
    if (!used.has(id) && !taken.links.has(`tsd-${id}`)) return id;
  }
  throw new TesseraError("InternalError", "no free id for a further cluster");
}

function firstFree(candidates: Iterable<Ipv4Block>, taken: readonly Ipv4Block[]): Ipv4Block | undefined {
  for (const candidate of candidates) if (!taken.some((block) => overlaps(block, candidate))) return candidate;
  return undefined;
}

function* blocks(from: string, bits: number): Generator<Ipv4Block> {
  const range = parseBlock(from);
  if (range === undefined) return;
  const step = 2 ** (32 - bits);
  for (let base = range.base; base < range.base + 2 ** (32 - range.bits); base += step) yield { base, bits };
}

const clusterBlocks = (clusters: readonly Cluster[], of: (cluster: Cluster) => string): Ipv4Block[] =>
  clusters.map((cluster) => parseBlock(of(cluster))).filter((block) => block !== undefined);

function chooseSubnet(taken: Taken): Ipv4Block {
  const used = [...taken.routes, ...clusterBlocks(taken.clusters, (cluster) => cluster.subnet)];
  const free = firstFree(blocks("172.28.0.0/14", 24), used);
  if (free === undefined) throw new TesseraError("InternalError", "no free subnet of 256 addresses in 172.28.0.0/14 for the nodes");
  return free;
}

/** Pods are seen by their own cluster only, so clusters may share the block; what the machine itself routes they would lose. */
function choosePodCidr(taken: Taken): string {
  const free = firstFree(blocks("10.64.0.0/10", 16), taken.routes);
  if (free === undefined) throw new TesseraError("InternalError", "no free block of 65536 addresses in 10.64.0.0/10 for the pods");
  return formatBlock(free);
}

/** Below the ephemeral ports, so that no outgoing connection takes them while the cluster is down. */
function choosePorts(taken: Taken): { apiPort: number; nodePort: number } {
  const used = new Set([...taken.ports, ...taken.clusters.flatMap((cluster) => [cluster.apiPort, cluster.nodePort])]);
  const free: number[] = [];
  for (let port = 16443; port < 18443 && free.length < 2; port++) if (!used.has(port)) free.push(port);
  const [apiPort, nodePort] = free;
  if (apiPort === undefined || nodePort === undefined) throw new TesseraError("InternalError", "no two free TCP ports from 16443 to 18442");
  return { apiPort, nodePort };
}
