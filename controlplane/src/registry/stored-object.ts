import { TesseraError } from "@tessera/proto";
import type { CachedObject } from "../store/cache.ts";
import { withResourceVersion } from "../store/resource-version-bytes.ts";
import type { Versioned } from "../store/store.ts";
import type { ApiObject } from "./definition.ts";
import { deepFreeze } from "./encoding.ts";

/** An object as read from or written to the store; looks like one of the cache, and is parsed on first use. */
export class StoredObject<T extends ApiObject> implements CachedObject<T> {
  readonly revision: number;
  readonly bytes: Buffer;
  #value: T | undefined;

  constructor(stored: Buffer, revision: number) {
    this.revision = revision;
    const bytes = withResourceVersion(stored, revision, "passing");
    if (bytes === undefined) throw new TesseraError("InternalError", "what the store holds has no metadata");
    this.bytes = bytes;
  }

  static of<T extends ApiObject>(versioned: Versioned): StoredObject<T> {
    return new StoredObject(versioned.value, versioned.revision);
  }

  get value(): T {
    this.#value ??= deepFreeze(JSON.parse(this.bytes.toString()) as T);
    return this.#value;
  }

  get namespace(): string {
    return this.value.metadata?.namespace ?? "";
  }

  get name(): string {
    return this.value.metadata?.name ?? "";
  }

  get uid(): string {
    return this.value.metadata?.uid ?? "";
  }
}
