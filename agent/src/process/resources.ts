import { type Container, type Pod, quantityMilliValue, quantityValue } from "@tessera/proto";
import type { Resources } from "@tessera/runtime-native";
import { hugepagesName } from "../hugepages.ts";
import type { NodeFacts } from "../node-facts.ts";
import { qosClass } from "../pod/qos.ts";

const PERIOD_US = 100_000;
/** The kernel takes no smaller quota. */
const MIN_QUOTA_US = 1_000;
const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const SHARES_PER_CPU = 1_024;
const PAGE_BYTES = 4_096;

interface Amounts {
  readonly cpuRequestMillis: number;
  readonly cpuLimitMillis: number | undefined;
  readonly memoryLimitBytes: number | undefined;
  readonly memoryRequestBytes: number;
}

function amountsOf(container: Container): Amounts {
  const { requests, limits } = container.resources ?? {};
  const cpuLimit = limits?.["cpu"];
  const memoryLimit = limits?.["memory"];
  const cpuRequest = requests?.["cpu"] ?? cpuLimit;
  const memoryRequest = requests?.["memory"] ?? memoryLimit;
  return {
    cpuRequestMillis: cpuRequest === undefined ? 0 : quantityMilliValue(cpuRequest),
    cpuLimitMillis: cpuLimit === undefined ? undefined : quantityMilliValue(cpuLimit) || undefined,
    memoryLimitBytes: memoryLimit === undefined ? undefined : quantityValue(memoryLimit) || undefined,
    memoryRequestBytes: memoryRequest === undefined ? 0 : quantityValue(memoryRequest),
  };
}

/** What limits depend on besides the container. */
export interface LimitContext {
  readonly pod: Pod;
  readonly node: Pick<NodeFacts, "memoryBytes" | "swapBytes" | "hugepages">;
}

/** A container's limits as the kernel takes them. */
export function containerResources(container: Container, { pod, node }: LimitContext): Resources {
  const limits = node.hugepages.map(({ pageBytes }) => ({ pageBytes, limitBytes: hugepageBytes(container, pageBytes) }));
  return {
    ...toResources(amountsOf(container)),
    swapLimitBytes: swapBytes(container, pod, node),
    ...(limits.length > 0 ? { hugepageLimits: limits } : {}),
  };
}

function hugepageBytes(container: Container, pageBytes: number): number {
  const quantity = container.resources?.limits?.[hugepagesName(pageBytes)];
  return quantity === undefined ? 0 : quantityValue(quantity);
}

/**
 * The kubelet's LimitedSwap (KEP-2400): of the node's swap a container may have the share that it requests of the node's memory, unless its
 * memory is guaranteed or it asks for none.
 */
function swapBytes(container: Container, pod: Pod, node: LimitContext["node"]): number {
  const { memoryLimitBytes, memoryRequestBytes } = amountsOf(container);
  if (node.swapBytes === 0 || qosClass(pod) !== "Burstable" || memoryRequestBytes === memoryLimitBytes) return 0;
  const pages = (memoryRequestBytes / node.memoryBytes) * (node.swapBytes / PAGE_BYTES);
  return Math.floor(pages) * PAGE_BYTES;
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

function toResources({ cpuRequestMillis, cpuLimitMillis, memoryLimitBytes }: Omit<Amounts, "memoryRequestBytes">): Resources {
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
