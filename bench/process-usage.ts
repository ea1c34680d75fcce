/** What processes use, from /proc and the cgroup file system. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const cgroups = "/sys/fs/cgroup";
const isUnified = existsSync(join(cgroups, "cgroup.controllers"));

/** Resident memory in MB. */
export function residentMb(pid: number): number {
  return kilobytes(`/proc/${pid}/status`, "VmRSS") / 1024;
}

/** Of all mappings, in KB: what is the process's alone and written, and its share of all it maps. */
export function rollupKb(pid: number): { readonly privateDirty: number; readonly pss: number } {
  const path = `/proc/${pid}/smaps_rollup`;
  return { privateDirty: kilobytes(path, "Private_Dirty"), pss: kilobytes(path, "Pss") };
}

function kilobytes(path: string, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(readFileSync(path, "utf8"));
  if (!match) throw new Error(`${path} has no ${field}`);
  return Number(match[1]);
}

/** CPU time so far of all threads that live, in milliseconds. */
export function processCpuMs(pid: number): number {
  let ns = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
  }
  return ns / 1e6;
}

export function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

/** Pids of the processes with these command line arguments, by the argument. */
export function findProcesses(argument: (argv: readonly string[]) => string | undefined): Map<string, number> {
  const found = new Map<string, number>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const key = argument(readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0"));
      if (key !== undefined) found.set(key, Number(name));
    } catch {
      // Gone between the two looks.
    }
  }
  return found;
}

/** CPU time of a process's cgroup `part`, and of all below it, ended processes included. */
export function cgroupCpuMs(pid: number | undefined, part: string): number {
  if (pid === undefined) throw new Error(`${part} does not run`);
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n");
  const path = lines
    .map((line) => line.split(":"))
    .find(([, names]) => (isUnified ? names === "" : names?.split(",").includes("cpuacct")))?.[2];
  const end = path === undefined ? -1 : `${path}/`.indexOf(`/${part}/`);
  if (path === undefined || end < 0) throw new Error(`process ${pid} is in the cgroup ${path}, which is not of ${part}`);
  return readCpuMs(path.slice(0, end + part.length + 1));
}

function readCpuMs(path: string): number {
  if (!isUnified) return Number(readFileSync(join(cgroups, "cpuacct", path, "cpuacct.usage"), "utf8")) / 1e6;
  const usage = /^usage_usec (\d+)$/m.exec(readFileSync(join(cgroups, path, "cpu.stat"), "utf8"));
  return Number(usage?.[1]) / 1e3;
}

/** Counts the CPU time of processes and of whatever they start, in a cgroup of its own. */
export class CpuMeter {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
    mkdirSync(this.#folder("processes"), { recursive: true });
  }

  #folder(...path: string[]): string {
    return join(cgroups, isUnified ? "" : "cpuacct", this.name, ...path);
  }

  /** Takes the pid of a process to count. */
  get processesFile(): string {
    return this.#folder("processes", "cgroup.procs");
  }

  readMs(): number {
    return readCpuMs(this.name);
  }

  /** Kills what still runs in it, or below: what was broken off. */
  async killAll(): Promise<void> {
    const pids = () => processesBelow(this.#folder());
    const deadlineMs = performance.now() + 5000;
    for (let left = pids(); left.length > 0; left = pids()) {
      if (performance.now() > deadlineMs) throw new Error(`processes ${left.join(", ")} in ${this.#folder()} do not end`);
      for (const pid of left) tryKill(pid);
      await delay(20);
    }
  }

  /** Ends and removes what benchmarks left that were killed. */
  static async removeStale(): Promise<void> {
    const names = hierarchies().flatMap((hierarchy) => readdirSync(hierarchy));
    for (const name of new Set(names)) {
      const pid = Number(/^tessera-bench-(\d+)$/.exec(name)?.[1] ?? Number.NaN);
      if (Number.isNaN(pid) || isAlive(pid)) continue;
      console.error(`bench: removing ${name}, which a benchmark left that was killed`);
      const meter = new CpuMeter(name);
      await meter.killAll();
      meter.remove();
    }
  }

  /** Once all is over. Others may have made cgroups of this name in other hierarchies. */
  remove(): void {
    for (const hierarchy of hierarchies()) removeCgroups(join(hierarchy, this.name));
  }
}

function hierarchies(): string[] {
  return isUnified ? [cgroups] : childrenOf(cgroups);
}

/** Of a cgroup and all below it. */
function processesBelow(folder: string): number[] {
  const own = readFileSync(join(folder, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
  return [...own, ...childrenOf(folder).flatMap(processesBelow)];
}

function childrenOf(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [join(folder, entry.name)] : []));
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** A cgroup and all below it. */
function removeCgroups(folder: string): void {
  if (!existsSync(folder)) return;
  for (const child of childrenOf(folder)) removeCgroups(child);
  rmdirSync(folder);
}
