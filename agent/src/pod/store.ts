import { mkdir, open, readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "@tessera/proto";
import { decodeRecord, encodeRecord, type PodRecord } from "./record.ts";

/** The folders of one pod on disk. All of them are below `root`, so removing that removes everything. */
export interface PodFolders {
  readonly root: string;
  readonly etc: string;
  readonly volumes: string;
  /** One folder per attempt of a container, with its writable layer. */
  readonly containers: string;
  /** One folder per container, with one file per attempt. */
  readonly logs: string;
}

export function podFolders(podsRoot: string, uid: string): PodFolders {
  const root = join(podsRoot, uid);
  return {
    root,
    etc: join(root, "etc"),
    volumes: join(root, "volumes"),
    containers: join(root, "containers"),
    logs: join(root, "logs"),
  };
}

export function logPath(folders: PodFolders, container: string, attempt: number): string {
  return join(folders.logs, container, `${attempt}.log`);
}

/** All pod records of this node: DATA/pods/<uid>/{record,pod}.json. */
export class PodStore {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Reads every record. `broken` are the folders that hold none, to be removed. */
  async load(): Promise<{ records: PodRecord[]; broken: string[] }> {
    await mkdir(this.root, { recursive: true, mode: 0o700 });
    const records: PodRecord[] = [];
    const broken: string[] = [];
    for (const uid of await readdir(this.root)) {
      const record = await this.#read(uid);
      if (record === undefined) broken.push(uid);
      else records.push(record);
    }
    return { records, broken };
  }

  file(record: PodRecord): RecordFile {
    return new RecordFile(join(this.root, record.uid), record);
  }

  async #read(uid: string): Promise<PodRecord | undefined> {
    try {
      const folder = join(this.root, uid);
      const [recordText, podText] = await Promise.all([
        readFile(join(folder, "record.json"), "utf8"),
        readFile(join(folder, "pod.json"), "utf8"),
      ]);
      return decodeRecord(uid, recordText, podText);
    } catch (error) {
      if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return undefined;
      throw error;
    }
  }
}

/**
 * Writes one pod's record. A rename makes each write whole for a killed agent. Only what must outlive a power cut is synced: after one,
 * nothing of a pod is left but its folder, which the next start finds by listing.
 */
export class RecordFile {
  readonly #folder: string;
  readonly #record: PodRecord;
  #writtenPod: Pod | undefined;
  #writing: Promise<void> | undefined;
  #next: { promise: Promise<void>; durable: boolean } | undefined;
  #closed = false;

  constructor(folder: string, record: PodRecord) {
    this.#folder = folder;
    this.#record = record;
  }

  /** Makes the pod's folder and the first record in it. */
  async create(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await this.save();
  }

  /** Resolves once what the record says now is on disk. Callers that come while a write is under way share the next one. */
  save(options: { durable?: boolean } = {}): Promise<void> {
    if (this.#closed) return Promise.resolve();
    const durable = options.durable ?? false;
    if (this.#writing === undefined) {
      this.#writing = this.#write(durable).finally(() => {
        this.#writing = undefined;
      });
      return this.#writing;
    }
    if (this.#next === undefined) {
      const next = { durable, promise: Promise.resolve() };
      next.promise = this.#writing
        .catch(() => undefined) // Its own caller hears of it; this write is a new try.
        .then(() => {
          this.#next = undefined;
          return this.save({ durable: next.durable });
        });
      this.#next = next;
    }
    this.#next.durable ||= durable;
    return this.#next.promise;
  }

  /** Resolves when no write is under way. */
  async settled(): Promise<void> {
    await this.#next?.promise.catch(() => undefined);
    await this.#writing?.catch(() => undefined);
  }

  /** Waits for the last write and allows no further one: the folder is about to be removed. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.settled();
  }

  async #write(durable: boolean): Promise<void> {
    const { pod } = this.#record;
    const writes = [this.#replace("record.json", encodeRecord(this.#record), durable)];
    if (pod !== this.#writtenPod) writes.push(this.#replace("pod.json", JSON.stringify(pod), durable));
    await Promise.all(writes);
    this.#writtenPod = pod;
  }

  async #replace(name: string, text: string, durable: boolean): Promise<void> {
    const path = join(this.#folder, name);
    const temporary = `${path}.new`;
    const file = await open(temporary, "w", 0o600);
    try {
      await file.writeFile(text);
      if (durable) await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  }
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}
