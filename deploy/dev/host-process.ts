import { open, readFile, readlink } from "node:fs/promises";
import { mustRun } from "./command.ts";
import { waitFor } from "./wait.ts";

/** A process, told from a later one with the same pid by its start time. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, as in /proc/PID/stat. */
  readonly startTime: number;
}

/** What tessera-host writes about itself and the command that it keeps running. */
export interface HostState {
  readonly self: ProcessIdentity;
  /** Undefined while the command does not run. */
  readonly command?: ProcessIdentity;
  /** How often the command was started. */
  readonly starts: number;
}

/** Undefined when there is no such file, or what it tells of is over. */
export async function readHostState(path: string): Promise<HostState | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const { pid, startTime, command } = JSON.parse(text);
  const self = { pid: Number(pid), startTime: Number(startTime) };
  if (!(await isAlive(self))) return undefined;
  const child = { pid: Number(command.pid), startTime: Number(command.startTime) };
  return { self, command: (await isAlive(child)) ? child : undefined, starts: Number(command.starts) };
}

/** The process still runs and is no zombie. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  if (identity.pid <= 0) return false;
  const stat = await readStat(identity.pid);
  return stat !== undefined && stat.startTime === identity.startTime && stat.state !== "Z" && stat.state !== "X";
}

/** Undefined when there is no such process. */
export async function readStat(
  pid: number,
): Promise<{ readonly startTime: number; readonly state: string; readonly name: string } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  // The program's name stands in parentheses and may hold anything.
  const end = text.lastIndexOf(")");
  const fields = text.slice(end + 2).split(" ");
  return { startTime: Number(fields[19]), state: fields[0] ?? "", name: text.slice(text.indexOf("(") + 1, end) };
}

/** Sends a signal, unless the process is gone or another one has its pid. */
export async function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): Promise<void> {
  if (!(await isAlive(identity))) return;
  try {
    process.kill(identity.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** TERM, time to end, KILL. */
export async function endProcess(identity: ProcessIdentity, graceMs: number): Promise<void> {
  const gone = async () => ((await isAlive(identity)) ? undefined : true);
  await signalProcess(identity, "SIGTERM");
  if (await waitFor(gone, { deadlineMs: graceMs })) return;
  await signalProcess(identity, "SIGKILL");
  await waitFor(gone, { deadlineMs: 5000 });
}

export interface HostWish {
  /** The program tessera-host. */
  readonly program: string;
  readonly kind: "node" | "service";
  readonly cgroup: string;
  readonly statePath: string;
  readonly logPath: string;
  /** For a node: its name, and how its folders are mounted. */
  readonly options: readonly string[];
  readonly command: readonly string[];
}

/** Starts a node or a service in the background. */
export async function startHost(wish: HostWish): Promise<void> {
  const { program, kind, cgroup, statePath, logPath } = wish;
  await mustRun([program, kind, "--cgroup", cgroup, "--state", statePath, "--log", logPath, ...wish.options, "--", ...wish.command]);
}

/** The last lines of a log file that may be large or missing. */
export async function readTail(path: string, lines: number): Promise<string[]> {
  const file = await open(path, "r").catch(() => undefined);
  if (file === undefined) return [];
  try {
    const { size } = await file.stat();
    const length = Math.min(size, 64 * 1024);
    const buffer = Buffer.alloc(length);
    await file.read(buffer, 0, length, size - length);
    return buffer.toString("utf8").split("\n").filter(Boolean).slice(-lines);
  } finally {
    await file.close();
  }
}

/** The target of one of a process's namespace links: "net:[4026531840]". Undefined when it is gone. */
export async function readNamespace(pid: number, kind: "net" | "mnt" | "pid" | "uts" | "ipc" | "cgroup"): Promise<string | undefined> {
  return await readlink(`/proc/${pid}/ns/${kind}`).catch(() => undefined);
}
