import type { Pod } from "@tessera/proto";
import type { CachedObject, ResourceCache } from "../store/cache.ts";
import type { Source } from "./cache-loop.ts";

/** "default/web" */
export function podKey({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`;
}

/** The pod of a key. */
export function findPod(cache: ResourceCache<Pod>, key: string): CachedObject<Pod> | undefined {
  const [namespace = "", name = ""] = key.split("/");
  return cache.get(namespace, name);
}

/** Keys of the pods that are bound to each node. Kept while its source is subscribed. */
export class PodsByNode {
  readonly #cache: ResourceCache<Pod>;
  readonly #nodes = new Map<string, Set<string>>();
  constructor(cache: ResourceCache<Pod>) {
    this.#cache = cache;
  }

  /** To be the first among a loop's sources: it names no keys, the others read it. */
  readonly source: Source = () => {
    const unsubscribe = this.#cache.onChange(({ type, object }) => this.#apply(object, type === "DELETED"));
    this.#nodes.clear();
    for (const object of this.#cache.list()) this.#apply(object, false);
    return unsubscribe;
  };

  on(node: string): ReadonlySet<string> {
    return this.#nodes.get(node) ?? new Set();
  }

  #apply(pod: CachedObject<Pod>, isGone: boolean): void {
    const node = pod.value.spec?.nodeName;
    if (!node) return;
    const keys = this.#nodes.get(node);
    if (isGone) {
      if (keys?.delete(podKey(pod)) && keys.size === 0) this.#nodes.delete(node);
    } else if (keys) keys.add(podKey(pod));
    else this.#nodes.set(node, new Set([podKey(pod)]));
  }
}
