import { formatQuantity } from "@tessera/proto";
import { CRITICAL_PRIORITY } from "../pod/priority.ts";
import type { Shortage } from "./disk-use.ts";

/** A pod of the node, with what it has written. */
export interface EvictionCandidate {
  readonly uid: string;
  readonly priority: number;
  readonly containers: readonly ContainerUse[];
  /** emptyDirs on disk. */
  readonly volumeBytes: number;
}

interface ContainerUse {
  readonly name: string;
  readonly usedBytes: number;
  readonly requestBytes: number;
}

/** Who goes first, as the kubelet ranks them: who uses more than was asked for, then the lower priority, then who is furthest beyond. */
export function chooseVictim(candidates: readonly EvictionCandidate[]): EvictionCandidate | undefined {
  const [first] = candidates
    .filter(({ priority }) => priority < CRITICAL_PRIORITY)
    .map((candidate) => ({ candidate, beyond: beyondRequest(candidate) }))
    .sort((a, b) => Number(b.beyond > 0) - Number(a.beyond > 0) || a.candidate.priority - b.candidate.priority || b.beyond - a.beyond);
  return first?.candidate;
}

function beyondRequest({ containers, volumeBytes }: EvictionCandidate): number {
  return containers.reduce((sum, { usedBytes, requestBytes }) => sum + usedBytes - requestBytes, volumeBytes);
}

/** The message of the evicted pod, in the kubelet's words. */
export function evictionMessage({ containers }: EvictionCandidate, { resource, threshold, available }: Shortage): string {
  const quantity = (amount: number) => formatQuantity(amount, resource === "inodes" ? "DecimalSI" : "BinarySI");
  const low = `The node was low on resource: ${resource}. Threshold quantity: ${quantity(threshold)}, available: ${quantity(available)}.`;
  const larger = containers
    .filter(({ usedBytes, requestBytes }) => usedBytes > requestBytes)
    .map(
      ({ name, usedBytes, requestBytes }) =>
        `Container ${name} was using ${quantity(usedBytes)}, request is ${quantity(requestBytes)}, has larger consumption of ${resource}.`,
    );
  return [low, ...(resource === "inodes" ? [] : larger)].join(" ");
}
