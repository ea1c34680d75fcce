import type { ObjectMeta, OwnerReference } from "@tessera/proto";
import { type ApiObject, qualifiedResource } from "../registry/definition.ts";
import { foregroundFinalizer, orphanFinalizer } from "../registry/deletion.ts";
import type { RegisteredResource } from "../registry/resource.ts";
import type { CachedObject, CacheEventType } from "../store/cache.ts";
import { cacheLoop, changesOf } from "./cache-loop.ts";
import type { ControlLoop } from "./control-loop.ts";
import type { ControllerDependencies } from "./dependencies.ts";
import { unless } from "./expected-errors.ts";
import { OwnerGraph } from "./owner-graph.ts";

/** What an object's reference to an owner is worth: the owner is there, is gone, or is deleted and waits for its dependents. */
type OwnerState = "there" | "gone" | "waiting";

/** An object that a key names. */
interface Found {
  readonly resource: RegisteredResource;
  readonly object: CachedObject<ApiObject>;
}

/**
 * Deletes what nobody owns any more, and lets those go that waited for that. An object goes when it has owners and none of them is left; one that
 * keeps an owner only loses its references to those that went. An owner with the finalizer "foregroundDeletion" is kept until the dependents
 * that block it are gone, one with "orphan" until none names it any more.
 *
 * Owners are known by uid, and all caches are at one revision: a dependent cannot be seen before the owner that it was made with, so an owner that
 * is not in the cache is gone, and nobody needs to ask the store.
 */
export function garbageCollection({ registry, clock, log }: ControllerDependencies): ControlLoop {
  const resources = registry.all();
  return cacheLoop({ name: "garbage-collection", clock, log, ...collector(resources) });
}

function collector(resources: readonly RegisteredResource[]) {
  const graph = new OwnerGraph();
  const byName = new Map(resources.map((resource) => [qualifiedResource(resource.definition), resource]));
  const byKind = new Map(resources.map((resource) => [kindKey(resource.definition.group, resource.definition.kind), resource]));

  /** Keys to look at after a change: the object, those whose deletion may wait for it, and, when it goes, those that it owns. */
  function touched(resource: RegisteredResource, object: CachedObject<ApiObject>, type: CacheEventType): string[] {
    const key = keyOf(resource, object.namespace, object.name);
    const before = graph.referencesOf(key);
    if (type === "DELETED") {
      graph.set(key, []);
      return graph.isEmpty ? ownerKeys(before, object) : [...ownerKeys(before, object), ...graph.dependentsOf(object.uid)];
    }
    // Most objects have neither, and are not parsed for it.
    const concerns = object.bytes.includes('"ownerReferences"') || object.bytes.includes('"deletionTimestamp"');
    const meta = concerns ? object.value.metadata : undefined;
    const isNews = graph.set(key, meta?.ownerReferences ?? []);
    const isConcerned = graph.referencesOf(key).length > 0 || waitsFor(meta) !== undefined;
    const dependents = waitsFor(meta) === undefined ? [] : graph.dependentsOf(object.uid);
    return [...(isConcerned ? [key] : []), ...(isNews ? ownerKeys(before, object) : []), ...dependents];
  }

  function ownerKeys(references: readonly OwnerReference[], { namespace }: CachedObject<ApiObject>): string[] {
    return references.flatMap((reference) => {
      const owner = ownerResource(reference);
      return owner === undefined ? [] : [keyOf(owner, owner.definition.namespaced ? namespace : "", reference.name ?? "")];
    });
  }

  function ownerResource({ apiVersion = "", kind = "" }: OwnerReference): RegisteredResource | undefined {
    return byKind.get(kindKey(apiVersion.includes("/") ? (apiVersion.split("/")[0] ?? "") : "", kind));
  }

  function find(key: string): Found | undefined {
    const [name = "", namespace = "", objectName = ""] = key.split("|");
    const resource = byName.get(name);
    const object = resource?.cache.get(namespace, objectName);
    if (resource === undefined || object === undefined || resource.cache.isUnreadable(namespace, objectName)) return undefined;
    return { resource, object };
  }

  function stateOf(reference: OwnerReference, { object }: Found): OwnerState {
    const owner = ownerResource(reference);
    // Kinds that are not served here are not ours to judge, nor are owners in a namespace that nothing names.
    if (owner === undefined || (owner.definition.namespaced && object.namespace === "")) return "there";
    const namespace = owner.definition.namespaced ? object.namespace : "";
    if (owner.cache.isUnreadable(namespace, reference.name ?? "")) return "there";
    const found = owner.cache.get(namespace, reference.name ?? "");
    if (found === undefined || found.uid !== reference.uid) return "gone";
    return waitsFor(found.value.metadata) === foregroundFinalizer ? "waiting" : "there";
  }

  async function collect(found: Found): Promise<void> {
    const references = found.object.value.metadata?.ownerReferences ?? [];
    const states = references.map((reference) => ({ uid: reference.uid ?? "", state: stateOf(reference, found) }));
    const lost = states.filter(({ state }) => state !== "there");
    if (lost.length === 0) return;
    if (lost.length < states.length) await disown(found, new Set(lost.map(({ uid }) => uid)));
    else
      await remove(
        found,
        states.some(({ state }) => state === "waiting"),
      );
  }

  async function remove(found: Found, isAwaited: boolean): Promise<void> {
    const { resource, object } = found;
    const dependents = graph.dependentsOf(object.uid);
    const isForeground = isAwaited && dependents.length > 0;
    // In a circle everybody would wait for the other; the event of this change brings us back.
    const isCircle = isForeground && dependents.some((key) => waitsFor(find(key)?.object.value.metadata) === foregroundFinalizer);
    if (isCircle && object.value.metadata?.ownerReferences?.some(({ blockOwnerDeletion }) => blockOwnerDeletion))
      return await unblock(found);
    const options = {
      uid: object.uid,
      resourceVersion: String(object.revision),
      ...(isForeground ? { propagation: "Foreground" as const } : {}),
    };
    // Conflict: it has changed, perhaps its owners; the event of that brings us back, too.
    await unless(["NotFound", "Conflict"], resource.remove(object.namespace, object.name, options));
  }

  async function disown(found: Found, uids: ReadonlySet<string>): Promise<void> {
    await change(found, (meta) => {
      const kept = (meta.ownerReferences ?? []).filter(({ uid = "" }) => !uids.has(uid));
      if (kept.length === meta.ownerReferences?.length) return undefined;
      const { ownerReferences: _, ...rest } = meta;
      return kept.length > 0 ? { ...rest, ownerReferences: kept } : rest;
    });
  }

  async function unblock(found: Found): Promise<void> {
    await change(found, (meta) => ({
      ...meta,
      ownerReferences: (meta.ownerReferences ?? []).map((reference) => ({ ...reference, blockOwnerDeletion: false })),
    }));
  }

  /** Lets a deleted object go that waited for its dependents, unless it still has to. */
  async function release(found: Found, finalizer: string): Promise<void> {
    const { uid } = found.object;
    const dependents = graph.dependentsOf(uid).flatMap((key) => find(key) ?? []);
    if (finalizer === orphanFinalizer) await Promise.all(dependents.map((dependent) => disown(dependent, new Set([uid]))));
    else if (dependents.some(({ object }) => blocks(object.value.metadata, uid))) return;
    await change(found, (meta) => {
      const finalizers = (meta.finalizers ?? []).filter((each) => each !== finalizer);
      return finalizers.length === meta.finalizers?.length ? undefined : { ...meta, finalizers };
    });
  }

  return {
    sources: resources.map((resource) => changesOf(resource.cache, (object, type) => touched(resource, object, type))),
    async reconcile(key: string): Promise<undefined> {
      const found = find(key);
      const meta = found?.object.value.metadata;
      if (found === undefined || meta === undefined) return undefined;
      const finalizer = waitsFor(meta);
      if (finalizer !== undefined) await release(found, finalizer);
      else if (meta.deletionTimestamp === undefined) await collect(found);
      return undefined;
    },
  };
}

async function change({ resource, object }: Found, next: (meta: ObjectMeta) => ObjectMeta | undefined): Promise<void> {
  const mutated = resource.mutate(
    object.namespace,
    object.name,
    (current) => {
      const metadata = next(current.metadata ?? {});
      return metadata === undefined ? undefined : { ...current, metadata };
    },
    { uid: object.uid },
  );
  await unless(["NotFound"], mutated);
}

/** Which of the collector's own finalizers keeps a deleted object; undefined if neither does. */
function waitsFor(meta: ObjectMeta | undefined): string | undefined {
  if (meta?.deletionTimestamp === undefined) return undefined;
  return [orphanFinalizer, foregroundFinalizer].find((finalizer) => meta.finalizers?.includes(finalizer));
}

function blocks(meta: ObjectMeta | undefined, ownerUid: string): boolean {
  return meta?.ownerReferences?.some(({ uid, blockOwnerDeletion }) => uid === ownerUid && blockOwnerDeletion === true) ?? false;
}

function keyOf(resource: RegisteredResource, namespace: string, name: string): string {
  return `${qualifiedResource(resource.definition)}|${namespace}|${name}`;
}

function kindKey(group: string, kind: string): string {
  return `${group}/${kind}`;
}
