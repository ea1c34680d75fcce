import type { ContainerStatus, Pod } from "@tessera/proto";
import type { Column } from "../../definition.ts";
import { ageColumn, nameColumn } from "../../strategy.ts";
import { formatAge } from "../age.ts";

/** What a pod's row says about its containers. */
export interface PodSummary {
  readonly ready: number;
  readonly total: number;
  /** The phase, or the most telling reason of a container: "Init:1/2", "CrashLoopBackOff". */
  readonly status: string;
  readonly restarts: number;
  /** When a container ended last; "" if none did. */
  readonly lastRestart: string;
}

interface Tally {
  reason: string;
  ready: number;
  restarts: number;
  lastRestart: string;
}

/** One line of truth about a pod, by the same rules as kubectl's. */
export function summarizePod(pod: Pod): PodSummary {
  const sidecars = new Set((pod.spec?.initContainers ?? []).filter((each) => each.restartPolicy === "Always").map((each) => each.name));
  const total = (pod.spec?.containers ?? []).length + sidecars.size;
  const tally: Tally = { reason: pod.status?.reason || pod.status?.phase || "", ready: 0, restarts: 0, lastRestart: "" };
  const scheduled = pod.status?.conditions?.find((condition) => condition.type === "PodScheduled");
  if (scheduled?.reason === "SchedulingGated") tally.reason = "SchedulingGated";

  const sidecarTally = tallyInitContainers(pod, sidecars, tally);
  if (sidecarTally.initialized || hasCondition(pod, "Initialized")) {
    tally.restarts = sidecarTally.restarts;
    tally.lastRestart = sidecarTally.lastRestart;
    tallyContainers(pod, tally);
  }
  return { ready: tally.ready, total, status: finalStatus(pod, tally.reason), restarts: tally.restarts, lastRestart: tally.lastRestart };
}

/** Stops at the first init container that is not done; `restarts` of the result are those of sidecars only. */
function tallyInitContainers(pod: Pod, sidecars: ReadonlySet<string | undefined>, tally: Tally) {
  const own = { initialized: true, restarts: 0, lastRestart: "" };
  for (const [index, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const isSidecar = sidecars.has(status.name);
    const ended = status.lastState?.terminated?.finishedAt ?? "";
    tally.restarts += status.restartCount ?? 0;
    tally.lastRestart = later(tally.lastRestart, ended);
    if (isSidecar) {
      own.restarts += status.restartCount ?? 0;
      own.lastRestart = later(own.lastRestart, ended);
    }
    const { terminated, waiting } = status.state ?? {};
    if (terminated !== undefined && (terminated.exitCode ?? 0) === 0) continue;
    if (isSidecar && status.started) {
      if (status.ready) tally.ready++;
      continue;
    }
    if (terminated !== undefined) tally.reason = `Init:${terminated.reason || endOf(terminated)}`;
    else if (waiting?.reason && waiting.reason !== "PodInitializing") tally.reason = `Init:${waiting.reason}`;
    else tally.reason = `Init:${index}/${pod.spec?.initContainers?.length ?? 0}`;
    own.initialized = false;
    break;
  }
  return own;
}

function tallyContainers(pod: Pod, tally: Tally): void {
  let hasRunning = false;
  for (const status of [...(pod.status?.containerStatuses ?? [])].reverse()) {
    tally.restarts += status.restartCount ?? 0;
    tally.lastRestart = later(tally.lastRestart, status.lastState?.terminated?.finishedAt ?? "");
    const { running, terminated, waiting } = status.state ?? {};
    if (waiting?.reason) tally.reason = waiting.reason;
    else if (terminated !== undefined) tally.reason = terminated.reason || endOf(terminated);
    else if (status.ready && running !== undefined) {
      hasRunning = true;
      tally.ready++;
    }
  }
  if (tally.reason === "Completed" && hasRunning) tally.reason = hasCondition(pod, "Ready") ? "Running" : "NotReady";
}

function finalStatus(pod: Pod, reason: string): string {
  if (pod.metadata?.deletionTimestamp === undefined) return reason;
  if (pod.status?.reason === "NodeLost") return "Unknown";
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed" ? reason : "Terminating";
}

function endOf(terminated: NonNullable<NonNullable<ContainerStatus["state"]>["terminated"]>): string {
  return terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode ?? 0}`;
}

function hasCondition(pod: Pod, type: string): boolean {
  return pod.status?.conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false;
}

function later(one: string, other: string): string {
  return one === "" || (other !== "" && Date.parse(other) > Date.parse(one)) ? other : one;
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return "<none>";
  return `${gates.filter((gate) => hasCondition(pod, gate.conditionType ?? "")).length}/${gates.length}`;
}

export const podColumns: readonly Column<Pod>[] = [
  nameColumn,
  {
    name: "Ready",
    type: "string",
    description: "Containers that are ready, of all.",
    cell: (pod) => {
      const { ready, total } = summarizePod(pod);
      return `${ready}/${total}`;
    },
  },
  {
    name: "Status",
    type: "string",
    description: "Phase of the pod, or what keeps it from running.",
    cell: (pod) => summarizePod(pod).status,
  },
  {
    name: "Restarts",
    type: "string",
    description: "How often containers were started again, and when last.",
    cell: (pod, nowMs) => {
      const { restarts, lastRestart } = summarizePod(pod);
      return restarts === 0 || lastRestart === "" ? String(restarts) : `${restarts} (${formatAge(lastRestart, nowMs)} ago)`;
    },
  },
  ageColumn,
  {
    name: "IP",
    type: "string",
    priority: 1,
    description: "Address of the pod.",
    cell: (pod) => pod.status?.podIPs?.[0]?.ip || pod.status?.podIP || "<none>",
  },
  { name: "Node", type: "string", priority: 1, description: "Where it runs.", cell: (pod) => pod.spec?.nodeName || "<none>" },
  {
    name: "Nominated Node",
    type: "string",
    priority: 1,
    description: "Where it will run once room was made.",
    cell: (pod) => pod.status?.nominatedNodeName || "<none>",
  },
  {
    name: "Readiness Gates",
    type: "string",
    priority: 1,
    description: "Conditions beyond its containers that must hold.",
    cell: readinessGates,
  },
];
