import type { PodStatus } from "@tessera/proto";
import type { HostFiles, NodeNetwork, Runtime } from "@tessera/runtime-native";
import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import type { ImagePuller, ImageStore } from "../images/index.ts";
import type { AddressPool } from "../network/addresses.ts";
import type { NodeFacts } from "../node-facts.ts";
import type { ReferencedObjects } from "../objects/referenced-objects.ts";
import type { AccountReader } from "../process/user.ts";
import type { Volumes } from "../volumes/volumes.ts";
import type { WantedPod } from "./wanted.ts";

/** What happened to a pod, for its Events. */
export interface PodEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
  /** "spec.containers{web}", "" for the pod as a whole. */
  readonly fieldPath: string;
}

/** Where workers report to; nothing here waits. */
export interface PodReports {
  status(want: WantedPod, status: PodStatus): void;
  event(want: WantedPod, event: PodEvent): void;
  /** Nothing of the pod is left on the node. */
  gone(want: WantedPod): void;
  /** An image was pulled. */
  imagesChanged(): void;
}

/** All that pod workers use. */
export interface PodDependencies {
  readonly runtime: Pick<
    Runtime,
    | "createSandbox"
    | "startContainer"
    | "signalContainer"
    | "removeContainer"
    | "removeSandbox"
    | "exec"
    | "pauseContainer"
    | "resumeContainer"
  >;
  readonly network: Pick<NodeNetwork, "createPodNetns" | "releaseNetns" | "openHostPorts" | "closeHostPorts">;
  readonly hostFiles: Pick<HostFiles, "makeFolder" | "removeTree">;
  readonly images: Pick<ImageStore & ImagePuller, "resolve" | "mayUse" | "proveRights" | "prepareRootfs" | "pull">;
  readonly accounts: Pick<AccountReader, "read">;
  readonly addresses: Pick<AddressPool, "allocate" | "release">;
  readonly volumes: Pick<Volumes, "setUp" | "tearDown">;
  readonly objects: Pick<ReferencedObjects, "get">;
  readonly node: NodeFacts;
  readonly clock: Clock;
  readonly log: Logger;
  readonly reports: PodReports;
  /**
   * Called at each point where a crash leaves different things behind: "createNetns:before", ":begun", ":done". Crash tests throw here;
   * otherwise it does nothing.
   */
  readonly failpoint?: (point: string) => void;
}
