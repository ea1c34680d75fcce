import type { Pod, Volume } from "@tessera/proto";
import type { PodFacts } from "../process/fields.ts";

/** A volume that containers can mount. */
export interface PreparedVolume {
  /** Path on the node. */
  readonly source: string;
  /** Whatever the mount asks for, it is read-only: the agent alone writes here. */
  readonly readOnly: boolean;
}

export interface VolumeRequest {
  readonly pod: Pod;
  readonly volume: Volume;
  /** The pod's folder for volumes. */
  readonly folder: string;
  readonly facts: PodFacts;
}

/** The volume's own folder: one level per kind, so that no two volumes meet. */
export type VolumeKind = "empty-dir" | "config-map" | "secret" | "downward-api" | "projected";
