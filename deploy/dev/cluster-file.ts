import { mkdir, open, readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";

/** One node of a development cluster. */
export interface ClusterNode {
  /** Its name as a Node object, and its host name. */
  readonly name: string;
  /** Its address on the cluster's bridge. */
  readonly address: string;
  /** The machine's end of its cable, a port of the bridge. */
  readonly link: string;
}

/**
 * Everything that a cluster is made of, by name. Written before the first of it is made: whatever is there of a cluster that was
 * killed half-way can be found from here, by a further `up` as well as by `down`.
 */
export interface Cluster {
  readonly version: 1;
  readonly name: string;
  /** Six hexadecimal digits in the names of links, tables and cgroups: three of the home folder, three of this cluster. */
  readonly id: string;
  readonly createdAt: string;
  /** Addresses of the nodes; the machine has the first of them, on the bridge. */
  readonly subnet: string;
  readonly gateway: string;
  readonly bridge: string;
  /** Largest packet of the cluster's links, so that what goes outside fits the machine's own link. */
  readonly mtu: number;
  readonly natTable: string;
  /** Below the root of every cgroup hierarchy. */
  readonly cgroup: string;
  /** Where users reach the API, on 127.0.0.1. */
  readonly apiPort: number;
  /** Where agents reach the control plane, on the gateway. */
  readonly nodePort: number;
  /** Addresses of the pods. */
  readonly podCidr: string;
  readonly nodes: readonly ClusterNode[];
  /** Words after those that the agents of a development cluster are started with. */
  readonly agentOptions?: readonly string[];
  /** The kubeconfig file that holds the cluster's context. */
  readonly kubeconfig: string;
}

/** Where the parts of a cluster keep their files. */
export class ClusterFolder {
  readonly path: string;
  constructor(home: string, name: string) {
    this.path = join(home, name);
  }
  get clusterFile(): string {
    return join(this.path, "cluster.json");
  }
  get controlPlaneData(): string {
    return join(this.path, "controlplane");
  }
  get controlPlaneState(): string {
    return join(this.path, "controlplane.json");
  }
  get controlPlaneLog(): string {
    return join(this.path, "controlplane.log");
  }
  get adminKubeconfig(): string {
    return join(this.controlPlaneData, "admin.kubeconfig");
  }
  node(name: string): string {
    return join(this.path, "nodes", name);
  }
  nodeData(name: string): string {
    return join(this.node(name), "data");
  }
  nodeCredentials(name: string): string {
    return join(this.node(name), "credentials");
  }
  nodeState(name: string): string {
    return join(this.node(name), "host.json");
  }
  agentLog(name: string): string {
    return join(this.node(name), "agent.log");
  }
}

export const contextName = (cluster: string): string => `tessera-${cluster}`;

/** Writes a file in one step, safe against a crash in the middle. */
export async function writeFileAtomically(path: string, text: string, mode = 0o644): Promise<void> {
  const temporary = `${path}.${process.pid}.new`;
  const file = await open(temporary, "w", mode);
  try {
    await file.chmod(mode);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

export async function writeCluster(folder: ClusterFolder, cluster: Cluster): Promise<void> {
  await mkdir(folder.path, { recursive: true, mode: 0o755 });
  await writeFileAtomically(folder.clusterFile, `${JSON.stringify(cluster, null, 2)}\n`);
}

/** Undefined when there is no such cluster. */
export async function readCluster(folder: ClusterFolder): Promise<Cluster | undefined> {
  let text: string;
  try {
    text = await readFile(folder.clusterFile, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  return parseCluster(text, folder.clusterFile);
}

/** The clusters of a home folder, by name. */
export async function readClusters(home: string): Promise<Cluster[]> {
  const names = await readdir(home).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const clusters = await Promise.all(names.sort().map(async (name) => await readCluster(new ClusterFolder(home, name)).catch(notAFolder)));
  return clusters.filter((cluster) => cluster !== undefined);
}

function notAFolder(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOTDIR") return undefined;
  throw error;
}

const stringFields = ["name", "id", "createdAt", "subnet", "gateway", "bridge", "natTable", "cgroup", "podCidr", "kubeconfig"] as const;
const numberFields = ["mtu", "apiPort", "nodePort"] as const;

function parseCluster(text: string, path: string): Cluster {
  const wrong = (what: string) =>
    new TesseraError("InternalError", `${path}: ${what}; mend it, or end what is left of the cluster by hand and remove its folder`);
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TesseraError("InternalError", `${path} is not JSON`, { cause });
  }
  if (value["version"] !== 1) throw wrong(`version ${JSON.stringify(value["version"])} is not known to this tsctl`);
  for (const field of stringFields) if (typeof value[field] !== "string") throw wrong(`"${field}" is not a string`);
  for (const field of numberFields) if (typeof value[field] !== "number") throw wrong(`"${field}" is not a number`);
  const nodes = value["nodes"];
  if (!Array.isArray(nodes)) throw wrong(`"nodes" is not a list`);
  for (const node of nodes) {
    for (const field of ["name", "address", "link"])
      if (typeof node?.[field] !== "string") throw wrong(`"nodes[].${field}" is not a string`);
  }
  return value as unknown as Cluster;
}
