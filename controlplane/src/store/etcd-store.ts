import type { EtcdClient } from "./etcd-client.ts";
import type { Page, Store, Versioned } from "./store.ts";

export interface EtcdStoreDependencies {
  readonly client: EtcdClient;
  /** How long one `Store` call may take altogether, retries and read-backs included, default 10,000. */
  readonly patienceMs?: number;
}

/** `Store` over etcd: compare-and-swap in groups, unknown outcomes read back, reads retried. */
export class EtcdStore implements Store {
  constructor(_dependencies: EtcdStoreDependencies) {}
  read(_key: string): Promise<Versioned | undefined> {
    throw new Error("not written yet");
  }
  readPage(_prefix: string, _options: { limit: number; fromKey?: string; revision: number }): Promise<Page> {
    throw new Error("not written yet");
  }
  currentRevision(): Promise<number> {
    throw new Error("not written yet");
  }
  create(_key: string, _value: Buffer): Promise<number> {
    throw new Error("not written yet");
  }
  update(_key: string, _value: Buffer, _expectedRevision: number): Promise<number> {
    throw new Error("not written yet");
  }
  remove(_key: string, _expectedRevision: number): Promise<number> {
    throw new Error("not written yet");
  }
  /** Waits for the writes under way. The client stays open: whoever opened it closes it. */
  async close(): Promise<void> {}
}
