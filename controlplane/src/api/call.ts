import type { Logger } from "pino";
import type { ServiceAccountTokens } from "../auth/service-account-tokens.ts";
import type { UserInfo } from "../auth/tokens.ts";
import type { EventSource } from "../events/events.ts";
import type { NodeStreams } from "../nodes/node-streams.ts";
import type { ApiObject } from "../registry/definition.ts";
import type { StoredRegistry } from "../registry/stored-registry.ts";
import type { StoredResource } from "../registry/stored-resource.ts";
import type { Store } from "../store/store.ts";
import type { ApiRequest } from "./http.ts";
import type { SchedulingReasons } from "./pod-scheduling.ts";
import type { ResourceReader } from "./reader.ts";
import type { ResourcePath } from "./target.ts";

/** What the handlers work with. */
export interface ApiDependencies {
  readonly registry: StoredRegistry;
  readonly store: Store;
  readonly events: EventSource;
  readonly nodeStreams: NodeStreams;
  readonly scheduling: SchedulingReasons;
  readonly serviceAccountTokens: ServiceAccountTokens;
  readonly log: Logger;
  readonly now: () => number;
}

/** A resource as far as clients can change it. */
export type WritableResource = Pick<StoredResource<ApiObject>, "definition" | "createObject" | "updateObject" | "deleteObject">;

/** One call on a resource: who asks, for what, and where it is to be found. */
export interface Call {
  readonly request: ApiRequest;
  readonly user: UserInfo;
  readonly path: ResourcePath;
  readonly reader: ResourceReader;
  /** Absent for what can only be read. */
  readonly resource: WritableResource | undefined;
  readonly dependencies: ApiDependencies;
}
