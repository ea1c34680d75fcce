import type { ApiObject, Strategy } from "./definition.ts";
import { formatTime } from "./object-meta.ts";

/** What a wish to delete comes to. `next` of "remove" is the last state, as watchers see it. */
export type Deletion<T> =
  | { readonly do: "write"; readonly next: T }
  | { readonly do: "remove"; readonly next: T }
  | { readonly do: "nothing" };

/** Keeps a deleted object until the dependents that block it are gone. The names are Kubernetes'. */
export const foregroundFinalizer = "foregroundDeletion";
/** Keeps a deleted object until no dependent names it as owner any more. */
export const orphanFinalizer = "orphan";

/** What becomes of the objects that name a deleted one as owner: they go after it, go before it, or stay. */
export const propagationPolicies = ["Background", "Foreground", "Orphan"] as const;
export type PropagationPolicy = (typeof propagationPolicies)[number];

export interface DeletionWish {
  readonly graceSeconds?: number;
  /** Absent: as the object's finalizers say, which without any is "Background". */
  readonly propagation?: PropagationPolicy;
}

/**
 * An object goes at once when nothing holds it; a pod gets its grace; finalizers (and for namespaces spec.finalizers) hold it with a deletionTimestamp.
 * A later wish may only shorten the grace, but may have another mind about the dependents.
 */
export function planDeletion<T extends ApiObject>(
  strategy: Strategy<T>,
  current: T,
  { graceSeconds: requestedSeconds, propagation }: DeletionWish,
  nowMs: number,
): Deletion<T> {
  const meta = current.metadata ?? {};
  const finalizers = finalizersFor(propagation, meta.finalizers ?? []);
  const isChanged = finalizers.join() !== (meta.finalizers ?? []).join();
  const held = finalizers.length > 0 || strategy.isHeld?.(current) === true;
  const wanted = strategy.gracefulDeletion?.(current, requestedSeconds) ?? 0;
  const pending = meta.deletionTimestamp === undefined ? undefined : (meta.deletionGracePeriodSeconds ?? 0);
  const shortens = pending !== undefined && requestedSeconds !== undefined && wanted < pending;
  const grace = pending === undefined || shortens ? wanted : pending;
  if (grace === 0 && !held) return { do: "remove", next: current };
  if (pending !== undefined && !shortens && !isChanged) return { do: "nothing" };
  const started = pending === undefined ? nowMs : Date.parse(meta.deletionTimestamp ?? "") - pending * 1000;
  const next: T = {
    ...current,
    metadata: {
      ...meta,
      deletionTimestamp: formatTime(started + grace * 1000),
      deletionGracePeriodSeconds: grace,
      ...(isChanged ? { finalizers } : {}),
    },
  };
  strategy.markDeleted?.(next);
  return { do: "write", next };
}

function finalizersFor(propagation: PropagationPolicy | undefined, current: readonly string[]): string[] {
  if (propagation === undefined) return [...current];
  const others = current.filter((finalizer) => finalizer !== foregroundFinalizer && finalizer !== orphanFinalizer);
  if (propagation === "Background") return others;
  return [...others, propagation === "Foreground" ? foregroundFinalizer : orphanFinalizer];
}
