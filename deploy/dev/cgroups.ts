import { readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import { waitFor } from "./wait.ts";

/** Where the machine has its cgroup hierarchies mounted, v1 and v2. */
export async function readHierarchies(): Promise<string[]> {
  const mounts = new Map<string, string>();
  for (const line of (await readFile("/proc/self/mountinfo", "utf8")).split("\n")) {
    const [left = "", right = ""] = line.split(" - ");
    const [, , device, , mount] = left.split(" ");
    if (!/^cgroup2? /.test(right) || device === undefined || mount === undefined) continue;
    // A hierarchy that is mounted twice is one.
    if (!mounts.has(device)) mounts.set(device, mount);
  }
  return [...mounts.values()];
}

/** All cgroup folders at and below a path of all hierarchies, children before their parents. */
async function listFolders(path: string): Promise<string[]> {
  const roots = (await readHierarchies()).map((mount) => join(mount, path));
  return (await Promise.all(roots.map(listBelow))).flat();
}

async function listBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENODEV") return undefined;
    throw error;
  });
  if (entries === undefined) return [];
  const children = entries.filter((entry) => entry.isDirectory()).map((entry) => listBelow(join(folder, entry.name)));
  return [...(await Promise.all(children)).flat(), folder];
}

/** The processes in a cgroup and below it. */
export async function listProcesses(path: string): Promise<number[]> {
  const pids = new Set<number>();
  for (const folder of await listFolders(path)) {
    const text = await readFile(join(folder, "cgroup.procs"), "utf8").catch(() => "");
    for (const pid of text.split("\n").filter(Boolean).map(Number)) if (pid > 0) pids.add(pid);
  }
  return [...pids];
}

/** Kills whatever is left in a cgroup and removes it from all hierarchies. True when there was anything of it. */
export async function removeCgroup(path: string): Promise<boolean> {
  const existed = (await listFolders(path)).length > 0;
  const gone = await waitFor(async () => ((await killAndRemove(path)) ? true : undefined), { deadlineMs: 10_000 });
  if (gone) return existed;
  const pids = await listProcesses(path);
  throw new TesseraError("InternalError", `cgroup ${path} cannot be removed: its processes do not end: ${pids.join(", ")}`);
}

async function killAndRemove(path: string): Promise<boolean> {
  await thaw(path);
  for (const pid of await listProcesses(path)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
  let clean = true;
  for (const folder of await listFolders(path)) {
    await rmdir(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") clean = false;
    });
  }
  return clean;
}

/** A frozen process of a v1 cgroup does not even notice that it was killed. */
async function thaw(path: string): Promise<void> {
  for (const folder of await listFolders(path)) await writeFile(join(folder, "freezer.state"), "THAWED", { flag: "r+" }).catch(() => {});
}

/** Removes a cgroup that has neither children nor processes any more, and leaves it alone otherwise. */
export async function removeEmptyCgroup(path: string): Promise<void> {
  for (const mount of await readHierarchies()) await rmdir(join(mount, path)).catch(() => {});
}

/** Names of the cgroups right below a path, of any hierarchy. */
export async function listChildren(path: string): Promise<string[]> {
  const names = new Set<string>();
  for (const mount of await readHierarchies()) {
    const entries = await readdir(join(mount, path), { withFileTypes: true }).catch(() => []);
    for (const entry of entries) if (entry.isDirectory()) names.add(entry.name);
  }
  return [...names].sort();
}
