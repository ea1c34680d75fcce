import { readFileSync } from "node:fs";

/** Names one process for ever: pids are used again, pids with a start time and a boot are not. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks between boot and start, from /proc/PID/stat. */
  readonly startTicks: number;
  readonly bootId: string;
}

/** undefined when there is no such process, or when it is a zombie: dead, and only not yet collected. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The second field is the command in parentheses, and may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, startTicks] = [fields[0], Number(fields[19])];
  if (state === "Z" || state === "X" || !Number.isSafeInteger(startTicks)) return undefined;
  return { pid, startTicks, bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim() };
}

export function isAlive(process: ProcessIdentity): boolean {
  const now = identityOf(process.pid);
  return now !== undefined && now.startTicks === process.startTicks && now.bootId === process.bootId;
}

/** undefined for anything that is not an identity. */
export function parseIdentity(text: string): ProcessIdentity | undefined {
  try {
    const { pid, startTicks, bootId } = JSON.parse(text) as Partial<Record<keyof ProcessIdentity, unknown>>;
    if (typeof pid !== "number" || typeof startTicks !== "number" || typeof bootId !== "string" || pid <= 1) return undefined;
    return { pid, startTicks, bootId };
  } catch {
    return undefined;
  }
}
