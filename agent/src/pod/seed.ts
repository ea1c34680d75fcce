import type { ContainerStatus, Pod } from "@tessera/proto";
import { signalNumber } from "../process/signals.ts";
import { Terminated } from "./reasons.ts";
import type { ContainerExit, PodRecord } from "./record.ts";
import { containerStatuses } from "./wanted.ts";

/**
 * Takes over from the object's status what an earlier life of this node did for the pod, when its own record is lost (a new disk). Without
 * this a pod that is to run once would run again.
 */
export function seedFromStatus(record: PodRecord, pod: Pod, nowMs: number): void {
  const { phase } = pod.status ?? {};
  if (phase !== "Running" && phase !== "Succeeded" && phase !== "Failed") return;
  record.startTimeMs = Date.parse(pod.status?.startTime ?? "") || nowMs;
  const { reason = "", message = "" } = pod.status ?? {};
  // The pod as a whole has failed, not one of its containers: evicted, past its deadline, or turned away before any of them was there.
  if (phase === "Failed" && reason !== "") record.ended = { reason, message };
  for (const status of containerStatuses(pod.status)) {
    const exit = lastKnownExit(status, nowMs);
    if (exit === undefined || !status.name) continue;
    record.containers[status.name] = {
      attempt: exit.attempt,
      image: status.image ?? "",
      imageName: status.image ?? "",
      imageId: status.imageID ?? "",
      stopSignal: signalNumber(status.stopSignal),
      exit,
      backoffMs: 0,
    };
  }
}

function lastKnownExit(status: ContainerStatus, nowMs: number): ContainerExit | undefined {
  const attempt = status.restartCount ?? 0;
  const ended = status.state?.terminated ?? (status.state?.waiting ? status.lastState?.terminated : undefined);
  if (ended !== undefined) {
    return {
      attempt,
      exitCode: ended.exitCode ?? 0,
      signal: ended.signal ?? 0,
      reason: ended.reason ?? "",
      message: ended.message ?? "",
      startedAtMs: Date.parse(ended.startedAt ?? "") || 0,
      finishedAtMs: Date.parse(ended.finishedAt ?? "") || nowMs,
    };
  }
  if (status.state?.running === undefined) return undefined;
  return {
    attempt,
    exitCode: 137,
    signal: 0,
    reason: Terminated.statusUnknown,
    message: "the node lost its record of the container; nobody saw its exit code",
    startedAtMs: Date.parse(status.state.running.startedAt ?? "") || 0,
    finishedAtMs: nowMs,
  };
}
