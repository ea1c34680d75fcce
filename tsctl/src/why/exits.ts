import type { ContainerStatus } from "@tessera/proto";
import { formatAge } from "../print/age.ts";

/** How a container ended the last time, when that was not as it should. */
export interface Exit {
  readonly container: string;
  readonly reason: string;
  readonly exitCode: number;
  /** By which it was killed. */
  readonly signal?: number;
  readonly finishedAt?: string;
  /** "20s" */
  readonly age: string;
  readonly restarts: number;
  /** What it left in its termination message. */
  readonly message?: string;
  /** Its log is that of the run before the present one. */
  readonly previous: boolean;
  /** Last lines of its log, when they could be read. */
  readonly log?: readonly string[];
}

export function exitOf(status: ContainerStatus, restartPolicy: string, now: number): Exit[] {
  const { state, lastState, restartCount = 0, name = "" } = status;
  const terminated = state?.terminated ?? lastState?.terminated;
  // A container that is always restarted should not end, whatever its code.
  const isFine = (terminated?.exitCode ?? 0) === 0 && (state?.terminated !== undefined || restartPolicy !== "Always");
  if (terminated === undefined || isFine) return [];
  const { reason = "", exitCode = 0, signal, finishedAt, message } = terminated;
  return [
    {
      container: name,
      reason,
      exitCode,
      signal: signal ?? (exitCode > 128 && exitCode < 160 ? exitCode - 128 : undefined),
      finishedAt,
      age: formatAge(finishedAt, now),
      restarts: restartCount,
      message: message?.trim() || undefined,
      previous: state?.running !== undefined,
    },
  ];
}

/** What to do about it. */
export function exitHint({ reason, exitCode, signal, container, previous }: Exit, pod: string): string | undefined {
  if (reason === "OOMKilled")
    return `${container} was killed for using more memory than its limit: raise resources.limits.memory, or let it use less ("tsctl top pod ${pod} --containers")`;
  if (reason === "StartError" || exitCode === 127)
    return `${container}: its command was not found in the image; look at command, args and PATH`;
  if (exitCode === 126) return `${container}: its command is there but cannot be executed; look at its mode, and what it is`;
  if (signal === 9) return `${container} was killed (SIGKILL), not for memory: by a failed liveness probe, or after its grace period?`;
  if (signal === 11) return `${container} crashed by itself (SIGSEGV)`;
  if (exitCode === 0) return `${container} ends without a fault but is always restarted; should restartPolicy be OnFailure or Never?`;
  return `${container} ended by itself with ${exitCode}; its log is the place to look: "tsctl logs ${pod} -c ${container}${previous ? " --previous" : ""}"`;
}
