import type { UsageReport } from "@tessera/proto/node";

/** Where node sessions bring what agents report. */
export interface UsageSink {
  /** `node` is who its certificate says. Returns at once and never throws. */
  report(node: string, report: UsageReport): void;
}

/** What something used over a while. */
export interface MeasuredUsage {
  /** The end of that while, by this process' clock. */
  readonly atMs: number;
  readonly windowMs: number;
  /** Billionths of a processor: the mean over the window. */
  readonly nanoCores: bigint;
  /** At the end of the window. */
  readonly memoryBytes: bigint;
}

export interface MeasuredContainer extends MeasuredUsage {
  readonly name: string;
}

/** What nodes and pods use now, as far as was reported of late. */
export interface UsageSource {
  ofNode(node: string): MeasuredUsage | undefined;
  /** The containers that run; only what the given node says of its pod. Undefined when it says nothing of any of them. */
  ofPod(node: string, uid: string): readonly MeasuredContainer[] | undefined;
}
