import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { TesseraError } from "@tessera/proto";
import type { Cluster, ClusterNode } from "./cluster-file.ts";
import { mustRun, runCommand } from "./command.ts";
import { type Link, readLinks } from "./machine.ts";

const forwardingSwitch = "/proc/sys/net/ipv4/ip_forward";
/** What forwarding was before the first cluster. Gone after a reboot, as the kernel's own value is. */
const forwardingRecord = "/run/tessera-dev/ip_forward";

const linkOfAnyCluster = /^tsd-[0-9a-f]{6}(-\d+)?$/;

/** Brings up the bridge and lets the nodes reach the outside through this machine. Changes only what is missing. */
export async function ensureClusterNetwork(cluster: Cluster): Promise<void> {
  await ensureForwarding();
  const links = await readLinks();
  await ensureBridge(cluster, links);
  await ensureNat(cluster);
}

async function ensureForwarding(): Promise<void> {
  const value = (await readFile(forwardingSwitch, "utf8")).trim();
  if (value === "1") return;
  await mkdir(dirname(forwardingRecord), { recursive: true });
  await writeFile(forwardingRecord, value);
  await writeFile(forwardingSwitch, "1");
}

/** True while the network of any cluster is left on this machine, of whatever home folder. */
export async function hasAnyCluster(): Promise<boolean> {
  return (await readLinks()).some((link) => linkOfAnyCluster.test(link.name));
}

/** Sets forwarding back to what it was before the first cluster. */
export async function restoreForwarding(): Promise<void> {
  const value = await readFile(forwardingRecord, "utf8").catch(() => undefined);
  if (value === undefined) return;
  await writeFile(forwardingSwitch, value);
  await rm(dirname(forwardingRecord), { recursive: true, force: true });
}

async function ensureBridge(cluster: Cluster, links: readonly Link[]): Promise<void> {
  const { bridge, gateway, mtu } = cluster;
  const existing = links.find((link) => link.name === bridge);
  if (existing !== undefined && existing.kind !== "bridge") await removeLink(bridge);
  const missing = existing === undefined || existing.kind !== "bridge";
  const bits = cluster.subnet.split("/")[1];
  await ipBatch([
    ...(missing ? [`link add ${bridge} type bridge stp_state 0 forward_delay 0`] : []),
    // A bridge that takes its address from its ports changes it with them, and then the nodes ask in vain for a while.
    `link set ${bridge} address ${hardwareAddress(cluster.id, 0)} mtu ${mtu} up`,
    `address replace ${gateway}/${bits} dev ${bridge}`,
  ]);
}

async function ensureNat(cluster: Cluster): Promise<void> {
  const table = await runCommand(["nft", "list", "table", "ip", cluster.natTable]);
  if (table.code === 0 && table.stdout.includes("masquerade")) return;
  await mustRun(["nft", "-f", "-"], { input: natRules(cluster) });
}

/** One transaction: the table is either as wanted or as it was. */
export function natRules(cluster: Cluster): string {
  const { natTable, subnet, bridge } = cluster;
  return `table ip ${natTable}
delete table ip ${natTable}
table ip ${natTable} {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${subnet} oifname != "${bridge}" masquerade
  }
}
`;
}

/** Lays the cable between a node and the bridge, if it is not there as it should be. `pid`: the node's init. */
export async function ensureCable(cluster: Cluster, node: ClusterNode, pid: number): Promise<void> {
  const bits = cluster.subnet.split("/")[1];
  const link = (await readLinks()).find(({ name }) => name === node.link);
  const sound = link?.up === true && link.master === cluster.bridge && (await hasAddress(node, pid));
  if (sound) return;
  if (link !== undefined) await removeLink(node.link);
  const number = Number(node.link.split("-")[2]);
  await ipBatch([
    `link add ${node.link} mtu ${cluster.mtu} type veth peer name eth0 address ${hardwareAddress(cluster.id, number)} mtu ${cluster.mtu} netns ${pid}`,
    `link set ${node.link} master ${cluster.bridge} up`,
  ]);
  // The address comes last: init starts the agent when it sees it.
  await ipBatch([`link set eth0 up`, `address add ${node.address}/${bits} dev eth0`, `route replace default via ${cluster.gateway}`], pid);
}

/** The same for the same node after a restart, so that nobody's neighbour table goes stale. Locally administered. */
function hardwareAddress(id: string, number: number): string {
  const octets = id.match(/../g) ?? [];
  return ["02", "54", ...octets, number.toString(16).padStart(2, "0")].join(":");
}

async function hasAddress(node: ClusterNode, pid: number): Promise<boolean> {
  const shown = await runCommand([...inNetwork(pid), "ip", "-4", "-o", "address", "show", "dev", "eth0"]);
  return shown.code === 0 && shown.stdout.includes(` ${node.address}/`);
}

const inNetwork = (pid: number): [string, string] => ["nsenter", `--net=/proc/${pid}/ns/net`];

async function ipBatch(lines: readonly string[], pid?: number): Promise<void> {
  const prefix: [string, ...string[]] = pid === undefined ? ["ip"] : [...inNetwork(pid), "ip"];
  const result = await runCommand([...prefix, "-batch", "-"], { input: `${lines.join("\n")}\n` });
  if (result.code !== 0) {
    throw new TesseraError("InternalError", `ip ${lines.join("; ip ")}: ${result.stderr.trim()}`);
  }
}

/** True when there was such a link. */
export async function removeLink(name: string): Promise<boolean> {
  const result = await runCommand(["ip", "link", "delete", name]);
  if (result.code === 0) return true;
  if (result.stderr.includes("Cannot find device")) return false;
  throw new TesseraError("InternalError", `remove link ${name}: ${result.stderr.trim()}`);
}

/** True when there was such a table. */
export async function removeNat(table: string): Promise<boolean> {
  const result = await runCommand(["nft", "delete", "table", "ip", table]);
  if (result.code === 0) return true;
  if (result.stderr.includes("No such file or directory")) return false;
  throw new TesseraError("InternalError", `remove nftables table ${table}: ${result.stderr.trim()}`);
}

/** Links of clusters whose id begins with `mark`, by cluster id. */
export async function findLinks(mark: string): Promise<{ readonly id: string; readonly name: string }[]> {
  const links = await readLinks();
  return links.flatMap(({ name }) =>
    linkOfAnyCluster.test(name) && name.startsWith(`tsd-${mark}`) ? [{ id: name.slice(4, 10), name }] : [],
  );
}

/** Tables of clusters whose id begins with `mark`, by cluster id. */
export async function findNatTables(mark: string): Promise<{ readonly id: string; readonly name: string }[]> {
  const listing = await mustRun(["nft", "list", "tables", "ip"]);
  const pattern = new RegExp(`^table ip (tessera-dev-(${mark}[0-9a-f]{3}))$`, "gm");
  return [...listing.matchAll(pattern)].map(([, name = "", id = ""]) => ({ id, name }));
}
