import { TesseraError } from "@tessera/proto";
import type { CachedObject } from "./cache.ts";
import { replaceResourceVersion } from "./resource-version-bytes.ts";
import { parseShared, type StringPool } from "./shared-value.ts";

export interface CachedEntryFields {
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  /** etcd's create_revision: differs between two objects that had the same name one after the other. */
  readonly createRevision: number;
  readonly bytes: Buffer;
  readonly strings: StringPool;
}

/** One object of the cache: bytes that are sent as they are, and a value parsed when somebody asks for it. */
export class CachedEntry<T> implements CachedObject<T> {
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  readonly createRevision: number;
  readonly bytes: Buffer;
  readonly #strings: StringPool;
  #value: T | undefined;
  /** A value of an earlier version, to share sub-trees with; given up when this one is parsed. */
  #earlierValue: unknown;

  constructor(fields: CachedEntryFields, earlier?: CachedEntry<T>) {
    this.namespace = fields.namespace;
    this.name = fields.name;
    this.revision = fields.revision;
    this.createRevision = fields.createRevision;
    this.bytes = fields.bytes;
    this.#strings = fields.strings;
    this.#earlierValue = earlier === undefined ? undefined : (earlier.#value ?? earlier.#earlierValue);
  }

  get value(): T {
    if (this.#value === undefined) {
      try {
        // Nobody but the registry writes to the store, and it has validated what it wrote.
        this.#value = parseShared(this.bytes.toString(), this.#earlierValue, this.#strings) as T;
      } catch (error) {
        throw new TesseraError("InternalError", `what the store holds as "${this.namespace}/${this.name}" is not JSON`, { cause: error });
      }
      this.#earlierValue = undefined;
    }
    return this.#value;
  }

  get uid(): string {
    return (this.value as { metadata?: { uid?: string } }).metadata?.uid ?? "";
  }

  /** The last state of an object that was deleted at `revision`. */
  deletedAt(revision: number): CachedEntry<T> {
    const { namespace, name, createRevision } = this;
    const bytes = replaceResourceVersion(this.bytes, revision);
    return new CachedEntry<T>({ namespace, name, revision, createRevision, bytes, strings: this.#strings }, this);
  }
}
