import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { formatHostPort, NativeLibrary, NativeNodeNetwork } from "@tessera/runtime-native";
import { readOwner } from "./network/addresses.ts";
import { dataPaths, sandboxesFolder } from "./paths.ts";
import type { InventorySettings } from "./settings.ts";

/** Something of a pod that the kernel or the disk holds. */
export interface InventoryItem {
  readonly kind: "sandbox" | "shim" | "process" | "cgroup" | "link" | "mount" | "address" | "hostPort" | "folder";
  readonly name: string;
  /** The pod that it belongs to; empty when nothing says whose it is. */
  readonly podUid: string;
}

const SHIM = "tessera-shim";
/** Field 9 of proc_pid_stat(5): the process is ending, or has ended and was not collected by its parent yet. */
const PF_EXITING = 0x4;
const POD_CGROUP = /^pod([^/]+)$/;

/** Prints all items as one JSON object. */
export async function printInventory(settings: InventorySettings, out: NodeJS.WritableStream): Promise<void> {
  out.write(`${JSON.stringify({ items: await takeInventory(settings) }, undefined, 2)}\n`);
}

/** Asks the kernel and the disk, not the agent: what an agent forgot is what this is for. */
export async function takeInventory(settings: InventorySettings): Promise<InventoryItem[]> {
  const { dataDir, runDir, cgroupRoot, nativeDir } = settings;
  const library = new NativeLibrary({ nativeDir, cgroupRoot });
  const network = new NativeNodeNetwork({ library, runDir });
  const paths = dataPaths(dataDir);
  const [sandboxes, cgroups, links, hostPorts, processes, mounts, addresses, folders] = await Promise.all([
    names(sandboxesFolder(runDir)),
    library.listCgroups(),
    network.listPodLinks(),
    network.listHostPorts(),
    podProcesses(cgroupRoot),
    podMounts([paths.pods, sandboxesFolder(runDir)]),
    addressItems(paths.addresses),
    names(paths.pods),
  ]);
  return [
    ...sandboxes.map((uid) => item("sandbox", join(sandboxesFolder(runDir), uid), uid)),
    ...cgroups.flatMap((name) => {
      const uid = POD_CGROUP.exec(name)?.[1];
      return uid === undefined ? [] : [item("cgroup", name, uid)];
    }),
    // What the pool keeps ready belongs to no pod and is no leak.
    ...links.flatMap(({ link, id }) => (id === undefined ? [] : [item("link", link, id)])),
    ...hostPorts.flatMap(({ id, ports }) => ports.map((port) => item("hostPort", formatHostPort(port), id))),
    ...processes,
    ...mounts,
    ...addresses,
    ...folders.map((uid) => item("folder", join(paths.pods, uid), uid)),
  ];
}

function item(kind: InventoryItem["kind"], name: string, podUid: string): InventoryItem {
  return { kind, name, podUid };
}

async function names(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}

async function addressItems(folder: string): Promise<InventoryItem[]> {
  const files = await names(folder);
  const owners = await Promise.all(files.map(async (name) => ({ name, owner: await readOwner(folder, name) })));
  return owners.flatMap(({ name, owner }) => (owner === undefined ? [] : [item("address", name, owner)]));
}

/** Shims, and every process in a pod's cgroup. */
async function podProcesses(cgroupRoot: string): Promise<InventoryItem[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const items = await Promise.all(pids.map((pid) => describeProcess(pid, cgroupRoot)));
  return items.filter((one) => one !== undefined);
}

/** Undefined for a process that is none of ours, or that has just ended. */
async function describeProcess(pid: string, cgroupRoot: string): Promise<InventoryItem | undefined> {
  try {
    const [cgroups, stat] = await Promise.all([readFile(`/proc/${pid}/cgroup`, "utf8"), readFile(`/proc/${pid}/stat`, "utf8")]);
    const [, command = "", flags] = /^\d+ \((.*)\) \S(?: -?\d+){5} (\d+)/s.exec(stat) ?? [];
    if ((Number(flags) & PF_EXITING) !== 0) return undefined;
    const uid = podOfCgroups(cgroups, cgroupRoot);
    if (command === SHIM.slice(0, 15)) return item("shim", `${pid} ${SHIM}`, uid ?? (await podOfShim(pid)));
    return uid === undefined ? undefined : item("process", `${pid} ${command}`, uid);
  } catch {
    return undefined;
  }
}

/** By the first cgroup below the root, which may be a path itself. */
function podOfCgroups(text: string, cgroupRoot: string): string | undefined {
  for (const line of text.split("\n")) {
    const path = `${line.split(":").slice(2).join(":")}/`;
    const root = path.lastIndexOf(`/${cgroupRoot}/`);
    const uid = root < 0 ? undefined : POD_CGROUP.exec(path.slice(root + cgroupRoot.length + 2).split("/")[0] ?? "")?.[1];
    if (uid !== undefined) return uid;
  }
  return undefined;
}

async function podOfShim(pid: string): Promise<string> {
  const argv = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0");
  return argv[argv.indexOf("--id") + 1] ?? "";
}

/** Mounts below the folders, whose first part is the pod's uid. */
async function podMounts(folders: readonly string[]): Promise<InventoryItem[]> {
  const mountinfo = await readFile("/proc/self/mountinfo", "utf8");
  return mountinfo.split("\n").flatMap((line) => {
    const path = (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_all, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const folder = folders.find((one) => path.startsWith(`${one}/`));
    return folder === undefined ? [] : [item("mount", path, path.slice(folder.length + 1).split("/")[0] ?? "")];
  });
}
