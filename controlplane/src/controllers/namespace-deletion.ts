import { isDeepStrictEqual } from "node:util";
import type { Namespace, NamespaceCondition, ObjectMeta, Pod } from "@tessera/proto";
import { TesseraError } from "@tessera/proto";
import type { CachedObject } from "../store/cache.ts";
import { cacheLoop, changesOf, type Source } from "./cache-loop.ts";
import { toTime } from "./clock.ts";
import type { ControlLoop } from "./control-loop.ts";
import type { ControllerDependencies } from "./dependencies.ts";
import { unless } from "./expected-errors.ts";

/** The entry of spec.finalizers that holds a namespace for as long as there is anything in it. */
const CONTENT_FINALIZER = "kubernetes";
/** Names in a message; the rest is counted. */
const NAMED_AT_MOST = 5;

/** An object that is still there after its deletion was asked for. */
interface Remaining {
  readonly resource: string;
  readonly object: CachedObject<{ metadata?: ObjectMeta }>;
}

/**
 * Empties namespaces that are being deleted, then lets them go; says in the namespace's conditions what it waits for. What lies in a namespace that does
 * not exist is removed too: a request may have been let in a moment before the namespace went.
 */
export function namespaceDeletion({ registry, clock, log }: ControllerDependencies): ControlLoop {
  const { namespaces } = registry;
  const contents = registry.all().filter(({ definition }) => definition.namespaced);
  const isEnding = (name: string): boolean => {
    const namespace = namespaces.cache.get("", name)?.value;
    return namespace === undefined || namespace.metadata?.deletionTimestamp !== undefined;
  };
  const contentSources: Source[] = contents.map(({ cache }) =>
    changesOf(cache, ({ namespace }) => (isEnding(namespace) ? [namespace] : [])),
  );

  /** Asks for the deletion of everything; returns what remains, which later events tell about. */
  async function empty(namespace: string): Promise<{ remaining: Remaining[]; errors: string[] }> {
    const errors: string[] = [];
    for (const resource of contents) {
      const present = [...resource.cache.list(namespace)].filter((object) => !object.value.metadata?.deletionTimestamp);
      await Promise.all(
        present.map(async (object) => {
          try {
            // Conflict: another object has the name by now; its event brings us back.
            await unless(["NotFound", "Conflict"], resource.remove(namespace, object.name, { uid: object.uid }));
          } catch (error) {
            errors.push(`${resource.definition.plural}/${object.name}: ${error instanceof Error ? error.message : String(error)}`);
          }
        }),
      );
    }
    const remaining = contents.flatMap(({ definition, cache }) =>
      [...cache.list(namespace)].map((object) => ({ resource: definition.plural, object })),
    );
    return { remaining, errors };
  }

  async function exists(namespace: string): Promise<boolean> {
    try {
      // Changes nothing, but asks the store.
      await namespaces.mutate("", namespace, () => undefined);
      return true;
    } catch (error) {
      if (error instanceof TesseraError && error.reason === "NotFound") return false;
      throw error;
    }
  }

  return cacheLoop({
    name: "namespace-deletion",
    clock,
    log,
    sources: [
      changesOf(namespaces.cache, ({ name, value }, type) => (type !== "DELETED" && value.metadata?.deletionTimestamp ? [name] : [])),
      ...contentSources,
    ],
    async reconcile(name) {
      const namespace = namespaces.cache.get("", name);
      if (namespace ? !namespace.value.metadata?.deletionTimestamp : await exists(name)) return undefined;
      const { remaining, errors } = await empty(name);
      if (namespace && (remaining.length > 0 || errors.length > 0)) {
        const conditions = blockedConditions(remaining, errors);
        await unless(
          ["NotFound"],
          namespaces.mutate("", name, (current) => withConditions(current, conditions, toTime(clock.now())), { uid: namespace.uid }),
        );
      }
      if (errors.length > 0)
        throw new TesseraError("InternalError", `could not delete everything in namespace "${name}": ${errors.join("; ")}`);
      if (namespace && remaining.length === 0) {
        await unless(["NotFound"], namespaces.mutate("", name, withoutContentFinalizer, { uid: namespace.uid }));
      }
      return undefined;
    },
  });
}

function withoutContentFinalizer(namespace: Namespace): Namespace | undefined {
  const finalizers = namespace.spec?.finalizers ?? [];
  if (!finalizers.includes(CONTENT_FINALIZER)) return undefined;
  return { ...namespace, spec: { ...namespace.spec, finalizers: finalizers.filter((finalizer) => finalizer !== CONTENT_FINALIZER) } };
}

type Verdict = Pick<NamespaceCondition, "type" | "status" | "reason" | "message">;

/** What a person reads who wonders why the namespace is still there. */
function blockedConditions(remaining: readonly Remaining[], errors: readonly string[]): Verdict[] {
  const failed = errors.length > 0;
  const finalizers = count(remaining.flatMap(({ object }) => object.value.metadata?.finalizers ?? []));
  return [
    {
      type: "NamespaceDeletionContentFailure",
      status: failed ? "True" : "False",
      reason: failed ? "ContentDeletionFailed" : "ContentDeleted",
      message: failed ? `Failed to delete ${errors.join("; ")}` : "Everything in the namespace is deleted or on its way out",
    },
    {
      type: "NamespaceContentRemaining",
      status: remaining.length > 0 ? "True" : "False",
      reason: remaining.length > 0 ? "SomeResourcesRemain" : "ContentRemoved",
      message: remaining.length > 0 ? `Some resources are remaining: ${describeRemaining(remaining)}` : "Nothing is left in the namespace",
    },
    {
      type: "NamespaceFinalizersRemaining",
      status: finalizers.size > 0 ? "True" : "False",
      reason: finalizers.size > 0 ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
      message:
        finalizers.size > 0
          ? `Some objects wait for finalizers: ${[...finalizers].map(([name, n]) => `${name} on ${n} object${n > 1 ? "s" : ""}`).join(", ")}`
          : "No object waits for a finalizer",
    },
  ];
}

function describeRemaining(remaining: readonly Remaining[]): string {
  const named = remaining.slice(0, NAMED_AT_MOST).map(describe);
  const more = remaining.length - named.length;
  return `${named.join(", ")}${more > 0 ? `, and ${more} more` : ""}`;
}

function describe({ resource, object }: Remaining): string {
  const notes: string[] = [];
  const { metadata, spec } = object.value as Pod;
  if (resource === "pods" && spec?.nodeName) notes.push(`ending on node ${spec.nodeName}`);
  if ((metadata?.finalizers?.length ?? 0) > 0) notes.push(`held by ${metadata?.finalizers?.join(", ")}`);
  return `${resource}/${object.name}${notes.length > 0 ? ` (${notes.join(", ")})` : ""}`;
}

function withConditions(namespace: Namespace, verdicts: readonly Verdict[], now: string): Namespace | undefined {
  const current = namespace.status?.conditions ?? [];
  const types = new Set(verdicts.map((verdict) => verdict.type));
  const next = verdicts.map((verdict): NamespaceCondition => {
    const before = current.find((condition) => condition.type === verdict.type);
    return { ...verdict, lastTransitionTime: before?.status === verdict.status ? before?.lastTransitionTime : now };
  });
  const conditions = [...current.filter((condition) => !types.has(condition.type)), ...next];
  if (isDeepStrictEqual(conditions, current)) return undefined;
  return { ...namespace, status: { ...namespace.status, phase: "Terminating", conditions } };
}

function count(words: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}
