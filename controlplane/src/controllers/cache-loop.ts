import type { Logger } from "pino";
import type { CachedObject, CacheEventType, ResourceCache } from "../store/cache.ts";
import type { Clock } from "./clock.ts";
import type { ControlLoop } from "./control-loop.ts";
import { WorkQueue } from "./work-queue.ts";

/** Subscribes to a cache; returns the unsubscribe. `add` wants a key to be looked at. */
export type Source = (add: (key: string) => void) => () => void;

/** Which keys to look at for an object that is there at the start ("ADDED") or that has changed. */
export function changesOf<T>(
  cache: ResourceCache<T>,
  keys: (object: CachedObject<T>, type: CacheEventType, previous: CachedObject<T> | undefined) => Iterable<string>,
): Source {
  return (add) => {
    const unsubscribe = cache.onChange(({ type, object, previous }) => {
      for (const key of keys(object, type, previous)) add(key);
    });
    for (const object of cache.list()) for (const key of keys(object, "ADDED", undefined)) add(key);
    return unsubscribe;
  };
}

export interface CacheLoopDependencies {
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sources: readonly Source[];
  /** See WorkQueue. */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<number | undefined>;
}

/** The form of most controllers: caches say which keys to look at, one function looks. */
export function cacheLoop(deps: CacheLoopDependencies): ControlLoop {
  return {
    name: deps.name,
    async run(signal, ready) {
      const queue = new WorkQueue(deps);
      const unsubscribe = deps.sources.map((source) => source((key) => queue.add(key)));
      try {
        ready?.();
        await queue.run(signal);
      } finally {
        for (const stop of unsubscribe) stop();
      }
    },
  };
}
