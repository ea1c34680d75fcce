import type { Pod, PodStatus } from "@tessera/proto";
import type { ContainerUser } from "@tessera/runtime-native";

/**
 * What the agent must remember of a pod to carry on after it was killed: what it began to make, which attempt of each container it is
 * at, how earlier attempts ended. What runs is not here: the runtime knows it.
 */
export interface PodRecord {
  readonly uid: string;
  pod: Pod;
  /** The object is gone: what is left is to be removed. */
  released: boolean;
  /** Acquisitions whose undo is owed. Written before the first is done; the undo of one that never happened does nothing. */
  begun: Acquisition[];
  /** When the agent first saw the pod. */
  startTimeMs: number;
  /** Why the pod was ended; not there while nobody but its containers ends it. */
  ended?: PodEnd;
  /** When running containers are killed, once termination has begun. */
  killAtMs?: number;
  /** The address the pod has, or had. */
  address?: string;
  containers: Record<string, ContainerRecord>;
  /** The last status that was reported. */
  status?: PodStatus;
}

/** What makes a pod fail whatever its containers do: its deadline, or that it took too much. As its status says it. */
export interface PodEnd {
  readonly reason: string;
  readonly message: string;
  /** It made room for others: no fault of its own. */
  readonly isDisruption?: boolean;
}

export type Acquisition = "address" | "netns" | "hostPorts" | "volumes" | "sandbox";

export interface ContainerRecord {
  /** Counts from 0; equals the restart count. */
  attempt: number;
  /** Image name of this attempt as the pod wants it, to notice when the pod wants another. */
  image: string;
  /** How statuses name the image that was found. */
  imageName: string;
  imageId: string;
  /** Number of the signal that asks the container to stop. */
  stopSignal: number;
  /** Who its first process is. */
  user?: ContainerUser;
  /** Set once this attempt is known to run. */
  startedAtMs?: number;
  /** This attempt's postStart hook has run. */
  hasRunPostStart?: boolean;
  /** How this attempt ended. */
  exit?: ContainerExit;
  /** How the attempt before ended. */
  lastExit?: ContainerExit;
  /** Delay before the next attempt, from the last exit. */
  backoffMs: number;
}

export interface ContainerExit {
  readonly attempt: number;
  readonly exitCode: number;
  readonly signal: number;
  readonly reason: string;
  readonly message: string;
  /** 0 when it never started. */
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
}

export function newRecord(uid: string, pod: Pod, nowMs: number): PodRecord {
  return { uid, pod, released: false, begun: [], startTimeMs: nowMs, containers: {} };
}

export function encodeRecord(record: PodRecord): string {
  return JSON.stringify(record);
}

/** Undefined when the text is no record, as after a crash in the middle of the first write. */
export function decodeRecord(uid: string, text: string): PodRecord | undefined {
  const record = parseObject(text);
  if (record === undefined || record["uid"] !== uid || !isObject(record["pod"]) || !isObject(record["containers"])) return undefined;
  if (!Array.isArray(record["begun"]) || typeof record["startTimeMs"] !== "number") return undefined;
  // Beyond its outline the file is trusted: only this program writes it, into a folder that only root enters.
  return record as unknown as PodRecord;
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The runtime's name for one attempt of a container. */
export function attemptId(container: string, attempt: number): string {
  return `${container}_${attempt}`;
}

/** The opposite of `attemptId`; undefined for a name that it did not make. */
export function parseAttemptId(id: string): { container: string; attempt: number } | undefined {
  const match = /^(.+)_(\d+)$/.exec(id);
  return match?.[1] !== undefined && match[2] !== undefined ? { container: match[1], attempt: Number(match[2]) } : undefined;
}
