/** The durable store: etcd behind an interface that says what it promises. */

/** A value as etcd holds it. */
export interface Versioned {
  readonly key: string;
  readonly value: Buffer;
  /** The object's resourceVersion: from etcd's mod_revision, see revision.ts. */
  readonly revision: number;
}

export interface Page {
  readonly items: readonly Versioned[];
  /** The revision at which the page is true; a list's resourceVersion. */
  readonly revision: number;
  /** The key to go on from; absent on the last page. */
  readonly nextKey?: string;
}

/**
 * Every write is a compare-and-swap. Writes whose outcome is unknown (deadline, lost connection) are read back before an
 * error is reported, so an error means that the write did not happen, or, with reason "Timeout", that nobody can know.
 * Values that etcd holds sealed (sealing.ts) are plain here; one that cannot be unsealed makes a read throw "InternalError".
 * Writers that wait at the same moment are committed together. All revisions here are resourceVersions (revision.ts), not etcd's numbers.
 */
export interface Store {
  /** Linearizable. */
  read(key: string): Promise<Versioned | undefined>;
  /** All below a prefix, paged at one revision. `revision` 0: the newest. Throws TesseraError "Expired" when compacted. */
  readPage(prefix: string, options: { limit: number; fromKey?: string; revision: number }): Promise<Page>;
  /** The newest revision of the whole store, linearizable. Who asks at the same time shares a call, so that asking is cheap. */
  currentRevision(): Promise<number>;
  /** Throws TesseraError "AlreadyExists". */
  create(key: string, value: Buffer): Promise<number>;
  /** Throws TesseraError "Conflict" unless the key is at `expectedRevision`, "NotFound" when it is gone. */
  update(key: string, value: Buffer, expectedRevision: number): Promise<number>;
  /** Throws as `update`. Resolves to the revision of the deletion. */
  remove(key: string, expectedRevision: number): Promise<number>;
  close(): Promise<void>;
}
