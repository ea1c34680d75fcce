import { setTimeout as delay } from "node:timers/promises";
import { TesseraError } from "@tessera/proto";
import type { Logger } from "pino";
import type { EtcdClient, EtcdKey } from "../store/etcd-client.ts";
import { objectVersion } from "../store/revision.ts";
import type { ValueSealing } from "../store/sealing.ts";
import type { Store } from "../store/store.ts";
import { keyIdOf, sealedValues } from "./sealed-values.ts";
import type { WatchedKeyFile } from "./watched-key-file.ts";

export interface ResealingDependencies {
  readonly client: EtcdClient;
  readonly store: Pick<Store, "update">;
  readonly sealing: ValueSealing;
  readonly keys: Pick<WatchedKeyFile, "current" | "onChange" | "follow">;
  /** The watch cache: whether it could not read what etcd holds at a key. */
  readonly caches: { isUnreadable(etcdKey: string): boolean };
  readonly log: Logger;
}

type Outcome = "fine" | "resealed" | "changed meanwhile" | "failed";

const firstPauseMs = 500;
const maxPauseMs = 30_000;

/**
 * Brings every Secret in etcd under the first encryption key: at the start and whenever the key file changes. It compares what is with what should be and
 * keeps no account of its own, so a crash anywhere costs nothing but another look. Each Secret is swapped against the state that was read; who writes it
 * meanwhile has brought it under the new key.
 *
 * What the cache could not read, and can be read now, is rewritten too: its new revision is how the cache and all watchers learn of it.
 */
export class Resealing {
  readonly name = "resealing";
  readonly #deps: ResealingDependencies;

  constructor(dependencies: ResealingDependencies) {
    this.#deps = dependencies;
  }

  /** Needs a filled cache. Resolves after the abort. */
  async run(signal: AbortSignal, ready: () => void = () => {}): Promise<void> {
    const { keys, log } = this.#deps;
    let change = Promise.withResolvers<void>();
    const wake = (): void => change.resolve();
    const unsubscribe = keys.onChange(wake);
    signal.addEventListener("abort", wake, { once: true });
    keys.follow(signal);
    ready();
    for (let pauseMs = firstPauseMs; !signal.aborted; ) {
      change = Promise.withResolvers<void>();
      try {
        await this.resealAll(signal);
        pauseMs = firstPauseMs;
        await change.promise;
      } catch (error) {
        if (signal.aborted) break;
        log.warn({ err: error, pauseMs }, "not all Secrets are under the first encryption key yet, trying again");
        await Promise.race([change.promise, delay(pauseMs, undefined, { ref: false })]);
        pauseMs = Math.min(pauseMs * 2, maxPauseMs);
      }
    }
    unsubscribe();
    signal.removeEventListener("abort", wake);
  }

  /** Resolves when a look at all Secrets has found nothing more to do. Those that cannot be read stay as they are, and are in the log. */
  async resealAll(signal: AbortSignal): Promise<void> {
    const resealed = new Set<string>();
    for (;;) {
      const { id } = this.#deps.keys.current();
      const count: Record<Outcome, number> = { fine: 0, resealed: 0, "changed meanwhile": 0, failed: 0 };
      for await (const items of sealedValues(this.#deps.client)) {
        signal.throwIfAborted();
        // Those of one page are committed together.
        for (const outcome of await Promise.all(items.map((item) => this.#reseal(item, id, resealed)))) count[outcome]++;
      }
      if (count.resealed + count["changed meanwhile"] > 0) continue;
      if (resealed.size > 0)
        this.#deps.log.info({ key: id, resealed: resealed.size }, "all Secrets that can be read are under the first encryption key");
      return;
    }
  }

  async #reseal(item: EtcdKey, currentId: string, resealed: Set<string>): Promise<Outcome> {
    const { sealing, store, caches, log } = this.#deps;
    // Of what was resealed just now the cache has not heard perhaps.
    if (keyIdOf(item) === currentId && (resealed.has(item.key) || !caches.isUnreadable(item.key))) return "fine";
    let value: Buffer;
    try {
      value = sealing.unseal(item.key, item.value);
    } catch (error) {
      log.error({ err: error, key: item.key }, "a Secret cannot be read, it is left as it is");
      return "failed";
    }
    try {
      await store.update(item.key, value, objectVersion(item.modRevision));
      resealed.add(item.key);
      return "resealed";
    } catch (error) {
      if (!(error instanceof TesseraError)) throw error;
      if (error.reason === "Conflict" || error.reason === "NotFound") return "changed meanwhile";
      if (error.reason !== "RequestEntityTooLarge") throw error;
      log.error({ err: error, key: item.key }, "a Secret is too large to be sealed, it is left as it is");
      return "failed";
    }
  }
}
