import type { Usage } from "@tessera/proto/node";

export interface Rate {
  readonly windowMs: number;
  readonly nanoCores: bigint;
  readonly memoryBytes: bigint;
}

/**
 * What was used between two readings of the same counters. Undefined when the later one is not later, or less: then they were reset in
 * between, and what was used before the reset is not known.
 */
export function rateBetween(earlier: Usage | undefined, later: Usage | undefined): Rate | undefined {
  if (earlier === undefined || later === undefined) return undefined;
  const elapsedNs = later.timeNs - earlier.timeNs;
  const usedNs = later.cpuNs - earlier.cpuNs;
  if (elapsedNs <= 0n || usedNs < 0n) return undefined;
  return {
    windowMs: Number(elapsedNs / 1_000_000n),
    nanoCores: (usedNs * 1_000_000_000n) / elapsedNs,
    memoryBytes: later.memoryWorkingSetBytes,
  };
}
