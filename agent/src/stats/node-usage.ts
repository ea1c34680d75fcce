import { readFile } from "node:fs/promises";
import type { ContainerUsage } from "@tessera/runtime-native";

/** The kernel counts CPU time in these for programs, whatever it does inside: USER_HZ is 100 on all that Linux runs on. */
const NS_PER_TICK = 10_000_000;

/** What the whole machine uses: the pods, the system, and this agent. */
export async function readNodeUsage(): Promise<ContainerUsage> {
  const [stat, meminfo] = await Promise.all([readFile("/proc/stat", "utf8"), readFile("/proc/meminfo", "utf8")]);
  return { timeNs: process.hrtime.bigint(), cpuNs: BigInt(parseBusyNs(stat)), memoryWorkingSetBytes: BigInt(parseWorkingSet(meminfo)) };
}

/** Time that the processors worked, by the first line of /proc/stat. A guest's time is part of "user" and "nice"; stolen time is another machine's. */
export function parseBusyNs(stat: string): number {
  const fields = /^cpu +(\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)/.exec(stat)?.slice(1).map(Number);
  if (fields === undefined) throw new Error("/proc/stat does not begin with the sum of all processors");
  const [user = 0, nice = 0, system = 0, _idle, _iowait, irq = 0, softirq = 0] = fields;
  return (user + nice + system + irq + softirq) * NS_PER_TICK;
}

/** What the kernel could not give to somebody else at once. */
export function parseWorkingSet(meminfo: string): number {
  const bytes = (name: string) => {
    const kilobytes = new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(meminfo)?.[1];
    if (kilobytes === undefined) throw new Error(`/proc/meminfo has no ${name}`);
    return Number(kilobytes) * 1024;
  };
  return Math.max(0, bytes("MemTotal") - bytes("MemAvailable"));
}
