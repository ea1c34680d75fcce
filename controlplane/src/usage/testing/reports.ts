import type { ContainerUsage, Usage, UsageReport } from "@tessera/proto/node";

/** Counters after so many seconds of uptime: CPU in seconds of one processor, memory in mebibytes. */
export function usage(uptimeSeconds: number, cpuSeconds: number, memoryMib = 1): Usage {
  return {
    timeNs: BigInt(Math.round(uptimeSeconds * 1e9)),
    cpuNs: BigInt(Math.round(cpuSeconds * 1e9)),
    memoryWorkingSetBytes: BigInt(memoryMib * 1024 * 1024),
  };
}

export function container(name: string, counters: Usage, attempt = 0): ContainerUsage {
  return { name, attempt, usage: counters };
}

/** A report of a node that says so every 10 s. */
export function report(node: Usage, pods: Readonly<Record<string, readonly ContainerUsage[]>> = {}): UsageReport {
  return { intervalMs: 10_000, node, pods: Object.entries(pods).map(([uid, containers]) => ({ uid, containers: [...containers] })) };
}
