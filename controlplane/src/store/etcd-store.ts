import { setTimeout as delay } from "node:timers/promises";
import { TesseraError } from "@tessera/proto";
import {
  type ConditionalWrite,
  type EtcdClient,
  type EtcdKey,
  type EtcdRange,
  FullDatabase,
  prefixEnd,
  type WriteResult,
} from "./etcd-client.ts";
import { GroupCommit } from "./group-commit.ts";
import { comparableRevision, etcdRevision, objectVersion, storeVersion } from "./revision.ts";
import { plainValues, type ValueSealing } from "./sealing.ts";
import { SharedRead } from "./shared-read.ts";
import type { Page, Store, Versioned } from "./store.ts";

export interface EtcdStoreDependencies {
  readonly client: EtcdClient;
  /** Default: values lie in etcd as they are. */
  readonly sealing?: ValueSealing;
  /** How long one `Store` call may take altogether, retries and read-backs included, default 10,000. */
  readonly patienceMs?: number;
}

/** What a read-back says about a write whose answer was lost. */
type ReadBack =
  | { readonly happened: true; readonly revision: number }
  /** The condition still holds: the write did not happen, or not yet. Sending it again is safe, at most one of the two succeeds. */
  | { readonly happened: false; readonly stillPossible: true }
  /** Somebody else's write came first. */
  | { readonly happened: false; readonly stillPossible: false; readonly current: number };

/** What counts is the header of the answer. */
const anyKey = "\0";

/** States of a key to look at, going back from the newest, before a read-back gives up. */
const maxReadBackSteps = 16;

/** `Store` over etcd: compare-and-swap in groups, unknown outcomes read back, reads retried. */
export class EtcdStore implements Store {
  readonly #client: EtcdClient;
  readonly #sealing: ValueSealing;
  readonly #patienceMs: number;
  readonly #group: GroupCommit;
  /** Somebody may have to wait for one that is under way and then for the own: together they have the patience of one call. */
  readonly #newest = new SharedRead(() => this.#range({ key: anyKey }, Date.now() + this.#patienceMs / 2));

  constructor(dependencies: EtcdStoreDependencies) {
    this.#client = dependencies.client;
    this.#sealing = dependencies.sealing ?? plainValues;
    this.#patienceMs = dependencies.patienceMs ?? 10_000;
    this.#group = new GroupCommit(dependencies.client);
  }

  async read(key: string): Promise<Versioned | undefined> {
    const { items } = await this.#range({ key }, this.#deadline());
    return items[0] === undefined ? undefined : this.#toVersioned(items[0]);
  }

  async readPage(prefix: string, options: { limit: number; fromKey?: string; revision: number }): Promise<Page> {
    const deadline = this.#deadline();
    const revision = etcdRevision(options.revision);
    try {
      const range = { key: options.fromKey ?? prefix, end: prefixEnd(prefix), limit: options.limit, revision };
      const answer = await this.#range(range, deadline);
      const last = answer.items.at(-1);
      return {
        items: answer.items.map((item) => this.#toVersioned(item)),
        revision: storeVersion(revision === 0 ? answer.revision : revision),
        ...(answer.more && last !== undefined ? { nextKey: `${last.key}\0` } : {}),
      };
    } catch (error) {
      // etcd gives one code to revisions that are gone and to those that are still to come.
      if (!isReason(error, "Expired")) throw error;
      const newest = await this.currentRevision();
      if (etcdRevision(newest) >= revision) {
        throw new TesseraError("Expired", `resourceVersion ${options.revision} is too old, its history is gone`, { cause: error });
      }
      throw new TesseraError("Timeout", `resourceVersion ${options.revision} is in the future, the newest is ${newest}`, { cause: error });
    }
  }

  async currentRevision(): Promise<number> {
    return storeVersion((await this.#newest.get()).revision);
  }

  async create(key: string, value: Buffer): Promise<number> {
    const result = await this.#write({ key, value: this.#sealing.seal(key, value), expected: 0 });
    if (result.done) return objectVersion(result.revision);
    throw new TesseraError("AlreadyExists", `${key} already exists`);
  }

  async update(key: string, value: Buffer, expectedRevision: number): Promise<number> {
    return this.#swap({ key, value: this.#sealing.seal(key, value), expected: comparableRevision(expectedRevision) }, expectedRevision);
  }

  async remove(key: string, expectedRevision: number): Promise<number> {
    return this.#swap({ key, value: undefined, expected: comparableRevision(expectedRevision) }, expectedRevision);
  }

  async close(): Promise<void> {
    await this.#group.idle();
  }

  async #swap(write: ConditionalWrite, expectedRevision: number): Promise<number> {
    const result = await this.#write(write);
    if (result.done) return objectVersion(result.revision);
    if (result.current === 0) throw new TesseraError("NotFound", `${write.key} not found`);
    throw new TesseraError("Conflict", `${write.key} is at ${objectVersion(result.current)}, not at ${expectedRevision}`);
  }

  /** The value is sealed once, not per attempt: what is read back is compared with what was sent, byte by byte. */
  async #write(write: ConditionalWrite): Promise<WriteResult> {
    const deadline = this.#deadline();
    let inDoubt: TesseraError | undefined;
    for (const pause of pauses()) {
      try {
        const result = await this.#group.submit(write);
        // A refusal after a doubtful attempt may be the work of that very attempt.
        if (result.done || inDoubt === undefined) return result;
      } catch (error) {
        if (error instanceof FullDatabase) return await this.#lookAfter(write, deadline, error);
        if (isReason(error, "Timeout")) inDoubt = error;
        else if (!isReason(error, "ServiceUnavailable") || Date.now() + pause > deadline) throw inDoubt ?? error;
      }
      if (inDoubt !== undefined) {
        const back = await this.#readBack(write, deadline, inDoubt);
        if (back.happened) return { done: true, revision: back.revision };
        if (!back.stillPossible) return { done: false, current: back.current };
      }
      if (Date.now() + pause > deadline) break;
      await delay(pause);
    }
    throw new TesseraError("Timeout", `${write.key}: etcd did not answer, the outcome of the write is unknown`, { cause: inDoubt });
  }

  /** What became of a write that may have happened and will not happen later. Throws the error if it did not. */
  async #lookAfter(write: ConditionalWrite, deadline: number, error: TesseraError): Promise<WriteResult> {
    const back = await this.#readBack(write, deadline, error);
    if (back.happened) return { done: true, revision: back.revision };
    if (back.stillPossible) throw error;
    return { done: false, current: back.current };
  }

  async #readBack(write: ConditionalWrite, deadline: number, inDoubt: TesseraError): Promise<ReadBack> {
    const unknown = (why: string, cause: unknown): TesseraError =>
      new TesseraError("Timeout", `${write.key}: the outcome of the write is unknown: ${why}`, { cause });
    const stateAt = async (revision: number): Promise<{ state: EtcdKey | undefined; revision: number }> => {
      try {
        const answer = await this.#range({ key: write.key, revision }, deadline);
        return { state: answer.items[0], revision: answer.revision };
      } catch (error) {
        throw unknown("it could not be read back", new AggregateError([inDoubt, error]));
      }
    };
    const { state: newest, revision } = await stateAt(0);
    if (newest?.modRevision === write.expected || (newest === undefined && write.expected === 0)) {
      return { happened: false, stillPossible: true };
    }
    if (write.value === undefined) {
      // Removed, by whomever; the exact revision is lost, but it is not above these.
      if (newest === undefined) return { happened: true, revision };
      if (newest.createRevision > write.expected) return { happened: true, revision: newest.createRevision - 1 };
      return { happened: false, stillPossible: false, current: newest.modRevision };
    }
    let state = newest;
    for (let step = 0; step < maxReadBackSteps; step++) {
      if (state === undefined) throw unknown("the object was deleted meanwhile", inDoubt);
      if (state.value.equals(write.value)) return { happened: true, revision: state.modRevision };
      const earlier: { state: EtcdKey | undefined } = await stateAt(state.modRevision - 1);
      const earlierRevision = earlier.state?.modRevision ?? 0;
      if (earlierRevision === write.expected) return { happened: false, stillPossible: false, current: newest?.modRevision ?? 0 };
      state = earlier.state;
    }
    throw unknown("the object was changed many times meanwhile", inDoubt);
  }

  async #range(query: { key: string; end?: string; limit?: number; revision?: number }, deadline: number): Promise<EtcdRange> {
    for (const pause of pauses()) {
      try {
        return await this.#client.range({ ...query, timeoutMs: Math.max(1, deadline - Date.now()) });
      } catch (error) {
        const worthRetrying = isReason(error, "Timeout") || isReason(error, "ServiceUnavailable");
        if (!worthRetrying || Date.now() + pause > deadline) throw error;
      }
      await delay(pause);
    }
    throw new TesseraError("InternalError", "unreachable: the pauses have no end");
  }

  #toVersioned({ key, value, modRevision }: EtcdKey): Versioned {
    return { key, value: this.#sealing.unseal(key, value), revision: objectVersion(modRevision) };
  }

  #deadline(): number {
    return Date.now() + this.#patienceMs;
  }
}

/** Between attempts, in milliseconds: short at first, since a restarted etcd is back within a second. */
function* pauses(): Generator<number> {
  for (let pause = 20; ; pause = Math.min(pause * 2, 500)) yield pause;
}

function isReason(error: unknown, reason: TesseraError["reason"]): error is TesseraError {
  return error instanceof TesseraError && error.reason === reason;
}
