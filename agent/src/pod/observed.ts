import type { ProbeVerdict } from "../probes/schedule.ts";
import type { Acquisition, ContainerExit, PodEnd } from "./record.ts";

/** Whether a thing is there. "unclear": it was begun before the agent was killed, or its making failed half-way. */
export type Presence = "none" | "there" | "unclear";

/** What the worker knows of the pod. Failures are by `stepKey`; `busy` holds the `stepSubject` of each step under way. */
export interface ObservedPod {
  readonly folders: Presence;
  readonly begun: ReadonlySet<Acquisition>;
  readonly address: string | undefined;
  readonly netns: Presence;
  readonly hostPorts: Presence;
  readonly sandbox: Presence;
  /** By volume name; absent: not set up yet. "stale": its content changed. */
  readonly volumes: ReadonlyMap<string, "ready" | "stale">;
  readonly containers: ReadonlyMap<string, ObservedContainer>;
  readonly failures: ReadonlyMap<string, StepFailure>;
  readonly busy: ReadonlySet<string>;
  readonly killAtMs: number | undefined;
  readonly startTimeMs: number;
  /** Why the pod was ended: whatever its containers do, it has failed. */
  readonly ended: PodEnd | undefined;
}

export interface ObservedContainer {
  /** The current attempt; the next one once it has exited. */
  readonly attempt: number;
  /** The attempt whose image and folders are ready, -1 for none. */
  readonly prepared: number;
  readonly state: ObservedState;
  readonly backoffMs: number;
}

export type ObservedState =
  /** The attempt has not begun. */
  | { readonly is: "none" }
  /** It was begun before the agent was killed, and the runtime does not know it: it never ran. */
  | { readonly is: "unclear" }
  | {
      readonly is: "running";
      readonly startedAtMs: number;
      readonly image: string;
      /** Whether its postStart hook is still to be run or to end. */
      readonly postStart: "due" | "done" | "failed";
      readonly probes: ProbeVerdict;
      /** It stands still until it is resumed. */
      readonly paused: boolean;
      /** When its stop began, with the preStop hook if it has one; when it got its stop signal, and when it was killed. */
      readonly stoppingSinceMs: number | undefined;
      readonly hasRunPreStop: boolean;
      readonly stoppedAtMs: number | undefined;
      readonly killedAtMs: number | undefined;
    }
  /** `forgotten`: the runtime holds nothing of it any more. */
  | { readonly is: "exited"; readonly exit: ContainerExit; readonly forgotten: boolean };

export interface StepFailure {
  readonly message: string;
  /** Waiting reason for a container's status, "" when the step is not about a container. */
  readonly reason: string;
  readonly atMs: number;
  readonly count: number;
  readonly retryAtMs: number;
}

export type RunningState = Extract<ObservedState, { is: "running" }>;
