import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { TesseraError } from "@tessera/proto";
import { readHugepages } from "./hugepages.ts";
import type { NodeFacts } from "./node-facts.ts";

/** As the kubelet's memorySwap.swapBehavior: whether Burstable pods may swap in proportion to the memory that they request. */
export type SwapBehavior = "NoSwap" | "LimitedSwap";

/** What the machine has to give. Throws when the wanted swap behaviour cannot be had here. */
export async function readCapacity(
  swapBehavior: SwapBehavior = "NoSwap",
): Promise<Pick<NodeFacts, "cpuMillis" | "memoryBytes" | "swapBytes" | "hugepages">> {
  const meminfo = await readFile("/proc/meminfo", "utf8");
  const bytesOf = (name: string) => {
    const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(meminfo)?.[1];
    if (kilobytes === undefined) throw new Error(`/proc/meminfo has no ${name}`);
    return Number(kilobytes) * 1024;
  };
  // cgroup v1 limits the sum of memory and swap only, and only of what has a memory limit.
  if (swapBehavior === "LimitedSwap" && !existsSync("/sys/fs/cgroup/cgroup.controllers"))
    throw new TesseraError("BadRequest", "--swap-behavior LimitedSwap needs cgroup v2; this machine has v1, where only NoSwap can be kept");
  return {
    cpuMillis: availableParallelism() * 1000,
    memoryBytes: bytesOf("MemTotal"),
    swapBytes: swapBehavior === "LimitedSwap" ? bytesOf("SwapTotal") : 0,
    hugepages: await readHugepages(),
  };
}
