import type { ConfigMap, Lease, Namespace, Node, Pod, PodDisruptionBudget, Secret, ServiceAccount } from "@tessera/proto";
import type { ResourceCache } from "../store/cache.ts";
import type { ApiObject } from "./definition.ts";
import type { AnyDefinition } from "./definitions.ts";
import type { DeletionWish } from "./deletion.ts";

/**
 * In-process access to one resource for the parts of the control plane (scheduler, controllers, node sessions). What users send goes through
 * the same storage path, after decoding, defaulting and validation.
 */
export interface Resource<T> {
  readonly cache: ResourceCache<T>;
  /** Fills uid, creationTimestamp, managed metadata; throws TesseraError "AlreadyExists" or "Invalid". */
  create(object: T): Promise<T>;
  /**
   * Reads, lets `change` return the new state (or undefined to leave it), writes with compare-and-swap, and tries again on conflict.
   * `change` gets a frozen object and must copy what it changes. Bumps generation when the spec changed. Throws TesseraError "NotFound";
   * with `uid` given, also when the object is another one by that name. An object with a deletionTimestamp whose grace is 0 and
   * which has no finalizers left is removed instead of written.
   */
  mutate(namespace: string, name: string, change: (current: T) => T | undefined, options?: { uid?: string }): Promise<T>;
  /**
   * Deletes as the API does (graceful for pods unless graceSeconds is 0; finalizers respected). NotFound is an error, and so is a Conflict with the
   * uid or version that the object must have.
   */
  remove(namespace: string, name: string, options?: RemoveOptions): Promise<void>;
}

export interface RemoveOptions extends DeletionWish {
  readonly uid?: string;
  readonly resourceVersion?: string;
}

/** A resource whose kind is only known at run time. */
export type RegisteredResource = Resource<ApiObject> & { readonly definition: AnyDefinition };

export interface Registry {
  readonly pods: Resource<Pod>;
  readonly nodes: Resource<Node>;
  readonly namespaces: Resource<Namespace>;
  readonly configMaps: Resource<ConfigMap>;
  readonly secrets: Resource<Secret>;
  readonly serviceAccounts: Resource<ServiceAccount>;
  readonly leases: Resource<Lease>;
  readonly podDisruptionBudgets: Resource<PodDisruptionBudget>;
  /** Every resource, for those that treat all alike. */
  all(): readonly RegisteredResource[];
}
