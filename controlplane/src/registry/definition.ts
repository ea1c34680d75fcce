import type { ObjectMeta } from "@tessera/proto";
import type { Fault } from "./faults.ts";

/** What every API object has. */
export interface ApiObject {
  apiVersion?: string;
  kind?: string;
  metadata?: ObjectMeta;
}

export type Verb = "create" | "delete" | "deletecollection" | "get" | "list" | "patch" | "update" | "watch";

/** One column of a Table; `cell` must not throw for any object. */
export interface Column<T> {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  /** "name" for the column that identifies the row. */
  readonly format?: string;
  readonly description: string;
  /** 0: always shown; greater: only with `-o wide`. */
  readonly priority?: number;
  readonly cell: (object: T, nowMs: number) => string | number | boolean;
}

export interface Subresource {
  readonly name: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly verbs: readonly Verb[];
}

/** The rules of an update that may only change a part of an object. */
export interface PartStrategy<T extends ApiObject> {
  /** Takes everything but the part from `current`. */
  prepare(next: T, current: T): void;
  validate(next: T, current: T): Fault[];
}

/**
 * The rules of a kind that no schema can say. All functions are pure; the `prepare` ones change the object they get, which is the caller's own,
 * and may be called again on their result.
 */
export interface Strategy<T extends ApiObject> {
  /** Clears what a creator may not set and fills in defaults that depend on other fields. */
  prepareForCreate(object: T): void;
  validate(object: T): Fault[];
  /** What the creator of a valid object should know: wishes that it has and that nothing acts on. */
  warnings?(object: T): string[];
  /** Keeps what this kind of update may not change (the status). */
  prepareForUpdate(next: T, current: T): void;
  validateUpdate(next: T, current: T): Fault[];
  /** Subresources that change a part of the object: "status". */
  readonly parts?: { readonly [subresource: string]: PartStrategy<T> };
  /** Syntax of metadata.name; returns what is expected. */
  checkName(name: string): string | undefined;
  /** Seconds between the wish to delete and the removal; absent: removed at once. */
  gracefulDeletion?(object: T, requestedSeconds: number | undefined): number;
  /** Called when deletion is asked for and the object stays: a place to mark it (a namespace becomes Terminating). */
  markDeleted?(object: T): void;
  /** What beside metadata.finalizers keeps a deleted object alive. */
  isHeld?(object: T): boolean;
  /** Whether the wish itself changed, which metadata.generation counts; absent: objects of this kind have no generation. */
  isNewGeneration?(next: T, current: T): boolean;
}

/** Everything the API server knows of a resource; one per kind, in kinds/. */
export interface ResourceDefinition<T extends ApiObject> {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly verbs: readonly Verb[];
  readonly subresources: readonly Subresource[];
  readonly columns: readonly Column<T>[];
  /** Beside metadata.name and metadata.namespace. */
  readonly selectableFields: { readonly [field: string]: (object: T) => string };
  /** Whether a DELETE that removes at once answers with the object (pods) or with a Status. */
  readonly returnsDeletedObject: boolean;
  readonly strategy: Strategy<T>;
}

/** "v1", "coordination.k8s.io/v1". */
export function apiVersionOf(definition: { readonly group: string; readonly version: string }): string {
  return definition.group === "" ? definition.version : `${definition.group}/${definition.version}`;
}

/** "pods", "leases.coordination.k8s.io", as error messages name a resource. */
export function qualifiedResource(definition: { readonly group: string; readonly plural: string }): string {
  return definition.group === "" ? definition.plural : `${definition.plural}.${definition.group}`;
}

export const allVerbs: readonly Verb[] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
