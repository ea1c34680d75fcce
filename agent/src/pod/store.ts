import { mkdir, open, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
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

const RECORD = "record.json";

/** All pod records of this node: DATA/pods/<uid>/record.json. */
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

  /** `exists`: the record was loaded from disk. */
  file(record: PodRecord, exists: boolean): RecordFile {
    return new RecordFile(join(this.root, record.uid), record, exists);
  }

  async #read(uid: string): Promise<PodRecord | undefined> {
    try {
      return decodeRecord(uid, await readFile(join(this.root, uid, RECORD), "utf8"));
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
  #writing: Promise<void> | undefined;
  #next: { promise: Promise<void>; durable: boolean } | undefined;
  #exists: boolean;
  #closed = false;

  constructor(folder: string, record: PodRecord, exists: boolean) {
    this.#folder = folder;
    this.#record = record;
    this.#exists = exists;
  }

  /**
   * Makes the pod's folder and the first record in it, unless they are there. The first write needs no rename: nothing is begun before it is
   * whole, and a folder with half a record is only removed.
   */
  async create(): Promise<void> {
    if (this.#exists) return await this.save();
    await mkdir(this.#folder, { mode: 0o700 }).catch((error: unknown) => {
      if (!isErrno(error, "EEXIST")) throw error;
    });
    await writeFile(join(this.#folder, RECORD), encodeRecord(this.#record), { mode: 0o600 });
    this.#exists = true;
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
    const path = join(this.#folder, RECORD);
    const file = await open(`${path}.new`, "w", 0o600);
    try {
      await file.writeFile(encodeRecord(this.#record));
      if (durable) await file.datasync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
  }
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}
