import type { ApiObject, Strategy } from "./definition.ts";
import { formatTime } from "./object-meta.ts";

/** What a wish to delete comes to. `next` of "remove" is the last state, as watchers see it. */
export type Deletion<T> =
  | { readonly do: "write"; readonly next: T }
  | { readonly do: "remove"; readonly next: T }
  | { readonly do: "nothing" };

/**
 * An object goes at once when nothing holds it; a pod gets its grace; finalizers (and for namespaces spec.finalizers) hold it with a deletionTimestamp.
 * A later wish may only shorten the grace.
 */
export function planDeletion<T extends ApiObject>(
  strategy: Strategy<T>,
  current: T,
  requestedSeconds: number | undefined,
  nowMs: number,
): Deletion<T> {
  const meta = current.metadata ?? {};
  const held = (meta.finalizers?.length ?? 0) > 0 || strategy.isHeld?.(current) === true;
  const wanted = strategy.gracefulDeletion?.(current, requestedSeconds) ?? 0;
  const pending = meta.deletionTimestamp === undefined ? undefined : (meta.deletionGracePeriodSeconds ?? 0);
  const shortens = pending !== undefined && requestedSeconds !== undefined && wanted < pending;
  const grace = pending === undefined || shortens ? wanted : pending;
  if (grace === 0 && !held) return { do: "remove", next: current };
  if (pending !== undefined && !shortens) return { do: "nothing" };
  const started = pending === undefined ? nowMs : Date.parse(meta.deletionTimestamp ?? "") - pending * 1000;
  const next: T = {
    ...current,
    metadata: { ...meta, deletionTimestamp: formatTime(started + grace * 1000), deletionGracePeriodSeconds: grace },
  };
  strategy.markDeleted?.(next);
  return { do: "write", next };
}
