import { type Container, type Pod, quantityMilliValue, quantityValue } from "@tessera/proto";
import type { Resources } from "@tessera/runtime-native";
import { qosClass } from "../pod/qos.ts";

const PERIOD_US = 100_000;
/** The kernel takes no smaller quota. */
const MIN_QUOTA_US = 1_000;
const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const SHARES_PER_CPU = 1_024;

interface Amounts {
  readonly cpuRequestMillis: number;
  readonly cpuLimitMillis: number | undefined;
  readonly memoryLimitBytes: number | undefined;
}

function amountsOf(container: Container): Amounts {
  const { requests, limits } = container.resources ?? {};
  const cpuLimit = limits?.["cpu"];
  const memoryLimit = limits?.["memory"];
  const cpuRequest = requests?.["cpu"] ?? cpuLimit;
  return {
    cpuRequestMillis: cpuRequest === undefined ? 0 : quantityMilliValue(cpuRequest),
    cpuLimitMillis: cpuLimit === undefined ? undefined : quantityMilliValue(cpuLimit) || undefined,
    memoryLimitBytes: memoryLimit === undefined ? undefined : quantityValue(memoryLimit) || undefined,
  };
}

/** A container's limits as the kernel takes them. */
export function containerResources(container: Container): Resources {
  return toResources(amountsOf(container));
}

/** The pod's own cgroup: the sum of its containers, limited only where every container is. */
export function podResources(pod: Pod, pidsLimit: number | undefined): Resources {
  const apps = (pod.spec?.containers ?? []).map(amountsOf);
  const init = (pod.spec?.initContainers ?? []).map(amountsOf);
  const total = toResources({
    cpuRequestMillis: Math.max(sum(apps.map((one) => one.cpuRequestMillis)), ...init.map((one) => one.cpuRequestMillis)),
    cpuLimitMillis: largest(apps, init, (one) => one.cpuLimitMillis),
    memoryLimitBytes: largest(apps, init, (one) => one.memoryLimitBytes),
  });
  return pidsLimit === undefined ? total : { ...total, pidsLimit };
}

/** The sum over the app containers or the largest init container; undefined when any of them has no limit. */
function largest(apps: Amounts[], init: Amounts[], of: (one: Amounts) => number | undefined): number | undefined {
  const values = [...apps, ...init].map(of);
  if (values.includes(undefined)) return undefined;
  return Math.max(sum(apps.map((one) => of(one) ?? 0)), ...init.map((one) => of(one) ?? 0));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function toResources({ cpuRequestMillis, cpuLimitMillis, memoryLimitBytes }: Amounts): Resources {
  const shares = Math.floor((cpuRequestMillis * SHARES_PER_CPU) / 1000);
  return {
    cpuShares: Math.min(Math.max(shares, MIN_SHARES), MAX_SHARES),
    ...(cpuLimitMillis === undefined
      ? {}
      : { cpuQuotaUs: Math.max(Math.floor((cpuLimitMillis * PERIOD_US) / 1000), MIN_QUOTA_US), cpuPeriodUs: PERIOD_US }),
    ...(memoryLimitBytes === undefined ? {} : { memoryLimitBytes }),
  };
}

const OOM_FIRST = 1000;

/**
 * Who dies first when the node's memory runs out, by Kubernetes' formula but never below 0: raising a process above the agent needs no
 * privilege, lowering it below would.
 */
export function oomScoreAdj(pod: Pod, container: Container, nodeMemoryBytes: number): number {
  const qos = qosClass(pod);
  if (qos === "Guaranteed") return 0;
  if (qos === "BestEffort") return OOM_FIRST;
  const request = container.resources?.requests?.["memory"] ?? container.resources?.limits?.["memory"];
  const share = request === undefined ? 0 : quantityValue(request) / nodeMemoryBytes;
  return Math.min(Math.max(3, Math.round(OOM_FIRST * (1 - share))), OOM_FIRST - 1);
}
