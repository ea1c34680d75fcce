import type { Logger } from "pino";
import type { EventSink } from "../events/events.ts";
import type { Registry } from "../registry/resource.ts";
import type { Clock } from "./clock.ts";

export interface ControllerDependencies {
  readonly registry: Registry;
  readonly events: EventSink;
  readonly log: Logger;
  readonly clock: Clock;
  /** PEM of the cluster's CA, for the ConfigMap kube-root-ca.crt of every namespace. */
  readonly clusterCaPem: string;
  /** How long pods outlive the deletion of their Node object: the node may register again. Default 40,000. */
  readonly nodeGoneGraceMs?: number;
}
