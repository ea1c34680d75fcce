import type { OwnerReference } from "@tessera/proto";

/** Which objects name which owners, by the owners' uids. Keys are the caller's names for objects. */
export class OwnerGraph {
  readonly #references = new Map<string, readonly OwnerReference[]>();
  readonly #dependents = new Map<string, Set<string>>();

  /** Takes over what an object says of its owners; true if that is news. */
  set(key: string, references: readonly OwnerReference[]): boolean {
    const before = this.#references.get(key) ?? [];
    if (before === references || (before.length === 0 && references.length === 0)) return false;
    for (const { uid = "" } of before) this.#unlink(uid, key);
    if (references.length > 0) this.#references.set(key, references);
    else this.#references.delete(key);
    for (const { uid = "" } of references) this.#link(uid, key);
    return true;
  }

  referencesOf(key: string): readonly OwnerReference[] {
    return this.#references.get(key) ?? [];
  }

  /** Keys of the objects that name this owner. */
  dependentsOf(uid: string): readonly string[] {
    return [...(this.#dependents.get(uid) ?? [])];
  }

  get isEmpty(): boolean {
    return this.#references.size === 0;
  }

  #link(uid: string, key: string): void {
    const dependents = this.#dependents.get(uid);
    if (dependents) dependents.add(key);
    else this.#dependents.set(uid, new Set([key]));
  }

  #unlink(uid: string, key: string): void {
    const dependents = this.#dependents.get(uid);
    dependents?.delete(key);
    if (dependents?.size === 0) this.#dependents.delete(uid);
  }
}
