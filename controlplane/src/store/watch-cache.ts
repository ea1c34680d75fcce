import type { Logger } from "pino";
import type { ResourceCache } from "./cache.ts";
import type { EtcdClient } from "./etcd-client.ts";

export interface WatchCacheDependencies {
  readonly client: EtcdClient;
  readonly log: Logger;
  /** Default "/registry/". */
  readonly prefix?: string;
}

/**
 * All objects of all resources in memory, kept current by one etcd watch. Objects found at start are announced as ADDED to the
 * `onChange` listeners that subscribed before `run`.
 */
export class WatchCache {
  /** Resolves when the first listing is in; never rejects. */
  readonly ready: Promise<void> = new Promise(() => {});
  constructor(_dependencies: WatchCacheDependencies) {}
  /** The cache of one resource, by its folder below the prefix ("pods"). Any name may be asked for, at any time, also before `run`. */
  cacheOf<T>(_plural: string): ResourceCache<T> {
    throw new Error("not written yet");
  }
  /** Lists, then watches until aborted; survives every fault of etcd. Resolves after the abort. */
  async run(_signal: AbortSignal): Promise<void> {}
}
