import type { CachedEntry } from "./cached-entry.ts";

/** Objects by namespace and name, in the order of their keys in the store, so that a list begun here can be continued there. */
export class SortedObjects<T> {
  readonly #namespaces = new Map<string, SortedNames<T>>();
  #sortedNamespaces: string[] = [];
  #size = 0;
  /** All in order, until the next change. */
  #all: readonly CachedEntry<T>[] | undefined;

  get size(): number {
    return this.#size;
  }

  get(namespace: string, name: string): CachedEntry<T> | undefined {
    return this.#namespaces.get(namespace)?.byName.get(name);
  }

  /** A snapshot: later changes do not show in it. undefined: all namespaces. */
  list(namespace: string | undefined): readonly CachedEntry<T>[] {
    if (namespace !== undefined) return this.#namespaces.get(namespace)?.snapshot() ?? [];
    this.#all ??= this.#sortedNamespaces.flatMap((name) => this.#namespaces.get(name)?.snapshot() ?? []);
    return this.#all;
  }

  set(entry: CachedEntry<T>): void {
    let names = this.#namespaces.get(entry.namespace);
    if (names === undefined) {
      names = new SortedNames();
      this.#namespaces.set(entry.namespace, names);
      this.#sortedNamespaces = [...this.#sortedNamespaces, entry.namespace].sort(byKey);
    }
    this.#size -= names.byName.size;
    names.set(entry);
    this.#size += names.byName.size;
    this.#all = undefined;
  }

  delete(namespace: string, name: string): void {
    const names = this.#namespaces.get(namespace);
    if (names === undefined || !names.delete(name)) return;
    this.#size--;
    this.#all = undefined;
    if (names.byName.size > 0) return;
    this.#namespaces.delete(namespace);
    this.#sortedNamespaces = this.#sortedNamespaces.filter((other) => other !== namespace);
  }
}

class SortedNames<T> {
  readonly byName = new Map<string, CachedEntry<T>>();
  readonly #sorted: CachedEntry<T>[] = [];
  #snapshot: readonly CachedEntry<T>[] | undefined;

  snapshot(): readonly CachedEntry<T>[] {
    this.#snapshot ??= this.#sorted.slice();
    return this.#snapshot;
  }

  set(entry: CachedEntry<T>): void {
    this.#sorted.splice(this.#indexOf(entry.name), this.byName.has(entry.name) ? 1 : 0, entry);
    this.byName.set(entry.name, entry);
    this.#snapshot = undefined;
  }

  delete(name: string): boolean {
    if (!this.byName.delete(name)) return false;
    this.#sorted.splice(this.#indexOf(name), 1);
    this.#snapshot = undefined;
    return true;
  }

  /** Of the name, or where it would be. */
  #indexOf(name: string): number {
    const last = this.#sorted.at(-1);
    // Listings come in order.
    if (last === undefined || last.name < name) return this.#sorted.length;
    let [low, high] = [0, this.#sorted.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sorted[middle] as CachedEntry<T>).name < name) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A namespace is followed by "/" in a key: "a-b" comes before "a". */
function byKey(a: string, b: string): number {
  return `${a}/` < `${b}/` ? -1 : 1;
}
