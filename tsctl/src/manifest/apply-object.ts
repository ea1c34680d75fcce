import { TesseraError } from "@tessera/proto";
import type { ApiObject, Query } from "../api/api.ts";
import { pathOf } from "../api/discovery.ts";
import type { ClusterContext } from "../command.ts";
import { changeOf } from "./change.ts";
import { readLastApplied, withLastApplied } from "./last-applied.ts";
import type { Placement } from "./placement.ts";

/** How often an apply starts again when somebody else changes the same object. */
const maxAttempts = 5;

export interface Applying extends Placement {
  readonly query: Query;
  readonly cluster: ClusterContext;
  readonly signal: AbortSignal;
}

export interface Applied {
  readonly object: ApiObject;
  /** As it was; undefined when it was not there. */
  readonly before: ApiObject | undefined;
  readonly done: "created" | "configured" | "unchanged";
}

/** Makes the object, or changes it to what the manifest says now in place of what it said the last time. */
export async function applyObject(manifest: ApiObject, applying: Applying): Promise<Applied> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await applyOnce(manifest, applying);
    } catch (error) {
      // Somebody made it, removed it or changed it between our two requests.
      const isRace =
        error instanceof TesseraError && ["AlreadyExists", "Conflict", "NotFound"].includes(error.reason) && attempt < maxAttempts;
      if (!isRace || (error.reason === "NotFound" && error.details.kind === "namespaces")) throw error;
    }
  }
}

async function applyOnce(manifest: ApiObject, applying: Applying): Promise<Applied> {
  const { resource, namespace, cluster, query, signal } = applying;
  const { api } = cluster;
  const wanted = withLastApplied(manifest, namespace);
  const name = manifest.metadata?.name;
  const before = name === undefined ? undefined : await readOrUndefined(applying, name);
  if (before === undefined || name === undefined) {
    const object = await api.request<ApiObject>("POST", pathOf(resource, namespace), { body: wanted, query, signal });
    return { object, before, done: "created" };
  }
  const change = changeOf(resource, { last: readLastApplied(before), wanted: wanted as Record<string, unknown>, current: before });
  if (change === undefined) return { object: before, before, done: "unchanged" };
  const object = await api.request<ApiObject>("PATCH", pathOf(resource, namespace, name), { ...change, query, signal });
  const isSame = object.metadata?.resourceVersion === before.metadata?.resourceVersion && query["dryRun"] === undefined;
  return { object, before, done: isSame ? "unchanged" : "configured" };
}

async function readOrUndefined({ resource, namespace, cluster, signal }: Applying, name: string): Promise<ApiObject | undefined> {
  try {
    return await cluster.api.request<ApiObject>("GET", pathOf(resource, namespace, name), { signal });
  } catch (error) {
    if (error instanceof TesseraError && error.reason === "NotFound") return undefined;
    throw error;
  }
}
