import { TesseraError } from "@tessera/proto";
import { type ConditionalWrite, maxWritesPerCall, type WriteResult } from "./etcd-client.ts";

/** What the group commit needs of etcd. */
export interface GroupWriter {
  write(writes: readonly ConditionalWrite[]): Promise<WriteResult[]>;
}

interface Waiting {
  readonly write: ConditionalWrite;
  /** Set after a refusal of the group that it was in: the fault may be another writer's. */
  alone: boolean;
  readonly resolve: (result: WriteResult) => void;
  readonly reject: (error: unknown) => void;
}

/** etcd refuses requests above 1.5 MiB by default; a larger single write goes alone and is refused alone. */
const maxBytesPerCall = 1280 * 1024;

/** With two calls under way, one travels and is decoded while etcd works on the other; more only make the groups smaller. */
const maxCallsUnderWay = 2;

/**
 * Commits together what waits together. A writer that finds no call under way goes as soon as the events at hand are done, so there is no timer;
 * writers that come meanwhile form the next group. Every write in a group keeps its own condition and its own outcome. Writes of one key go one after the
 * other, in the order in which they came: etcd refuses two in one group.
 */
export class GroupCommit {
  readonly #writer: GroupWriter;
  #waiting: Waiting[] = [];
  readonly #keysUnderWay = new Set<string>();
  #callsUnderWay = 0;
  #isPlanned = false;
  #onIdle: (() => void)[] = [];

  constructor(writer: GroupWriter) {
    this.#writer = writer;
  }

  submit(write: ConditionalWrite): Promise<WriteResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ write, alone: false, resolve, reject });
      this.#plan();
    });
  }

  /** Resolves when nothing waits and nothing is under way. */
  async idle(): Promise<void> {
    if (this.#callsUnderWay > 0 || this.#waiting.length > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  /** Sends after the events at hand: what came in one moment goes in one group, not the first of it alone. */
  #plan(): void {
    if (this.#isPlanned || this.#callsUnderWay >= maxCallsUnderWay) return;
    this.#isPlanned = true;
    setImmediate(() => {
      this.#isPlanned = false;
      this.#send();
    });
  }

  #send(): void {
    while (this.#callsUnderWay < maxCallsUnderWay && this.#waiting.length > 0) {
      const { group, rest } = takeGroup(this.#waiting, this.#keysUnderWay);
      if (group.length === 0) return;
      this.#waiting = rest;
      this.#callsUnderWay++;
      for (const { write } of group) this.#keysUnderWay.add(write.key);
      void this.#commit(group).finally(() => {
        this.#callsUnderWay--;
        for (const { write } of group) this.#keysUnderWay.delete(write.key);
        this.#plan();
        if (this.#callsUnderWay === 0 && this.#waiting.length === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
      });
    }
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    try {
      const results = await this.#writer.write(group.map((waiting) => waiting.write));
      for (const [index, waiting] of group.entries()) {
        const result = results[index];
        if (result === undefined) waiting.reject(new TesseraError("InternalError", "etcd answered fewer writes than it was sent"));
        else waiting.resolve(result);
      }
    } catch (error) {
      const refusedAsAWhole = error instanceof TesseraError && error.reason === "RequestEntityTooLarge";
      if (refusedAsAWhole && group.length > 1) {
        for (const waiting of group) waiting.alone = true;
        this.#waiting.unshift(...group);
      } else for (const waiting of group) waiting.reject(error);
    }
  }
}

/** What may go into the next call, by order of arrival; the others are left, in order. */
function takeGroup(queue: readonly Waiting[], keysUnderWay: ReadonlySet<string>): { group: Waiting[]; rest: Waiting[] } {
  const group: Waiting[] = [];
  const rest: Waiting[] = [];
  const keys = new Set(keysUnderWay);
  let bytes = 0;
  for (const waiting of queue) {
    const { key, value } = waiting.write;
    const size = key.length + (value?.length ?? 0);
    const fits = group.length < maxWritesPerCall && bytes + size <= maxBytesPerCall && !waiting.alone && !group[0]?.alone;
    if (!keys.has(key) && (fits || group.length === 0)) {
      group.push(waiting);
      bytes += size;
    } else rest.push(waiting);
    // Also of those left behind: a later write of the same key must not overtake them.
    keys.add(key);
  }
  return { group, rest };
}
