import { closeSync, type FSWatcher, fsyncSync, openSync, readFileSync, statSync, watch } from "node:fs";
import { basename, dirname } from "node:path";
import { TesseraError } from "@tessera/proto";
import type { Logger } from "pino";
import type { EncryptionKey } from "./envelope.ts";
import { type FileKey, parseKeyFile } from "./key-file.ts";
import type { KeyRing } from "./secret-sealing.ts";

/**
 * The keys of the key file as it is now. Whether it was changed is looked at before each write and whenever a key is unknown (a `stat`), so nothing rests on
 * being told of a change; `follow` only makes that sooner.
 *
 * A file that is gone or damaged leaves the keys of before for reading. Nothing is written then: it might be under a key that exists nowhere but in this
 * process.
 */
export class WatchedKeyFile implements KeyRing {
  readonly path: string;
  readonly #log: Logger;
  readonly #onChange = new Set<() => void>();
  #keys: readonly [FileKey, ...FileKey[]];
  /** Which state of the file was looked at last. */
  #seen: string;
  /** Why the state of the file that was seen last is no good. */
  #fault: Error | undefined;

  /** Throws when the file cannot be read. */
  constructor(path: string, log: Logger) {
    this.path = path;
    this.#log = log;
    this.#seen = stateOf(path);
    this.#keys = readDurable(path);
  }

  current(): EncryptionKey {
    this.refresh();
    if (this.#fault !== undefined) {
      const message = `no Secret can be written: the encryption keys cannot be read: ${this.#fault.message}`;
      throw new TesseraError("InternalError", message, { cause: this.#fault });
    }
    return this.#keys[0];
  }

  find(id: string): EncryptionKey | undefined {
    const known = this.#keys.find((key) => key.id === id);
    if (known !== undefined) return known;
    this.refresh();
    return this.#keys.find((key) => key.id === id);
  }

  /** `listener` is called when the file was changed and read again; it must not throw. Returns the unsubscribe. */
  onChange(listener: () => void): () => void {
    this.#onChange.add(listener);
    return () => this.#onChange.delete(listener);
  }

  /** Looks at the file whenever its folder changes, until aborted. */
  follow(signal: AbortSignal): void {
    const name = basename(this.path);
    let watcher: FSWatcher;
    try {
      watcher = watch(dirname(this.path), { persistent: false, signal }, (_event, file) => {
        if (file === null || file === name) this.refresh();
      });
    } catch (error) {
      this.#log.warn({ err: error, path: this.path }, "the key file cannot be watched, changes are noticed at the next write of a Secret");
      return;
    }
    watcher.on("error", (error) => this.#log.warn({ err: error, path: this.path }, "the key file is no longer watched"));
    // What happened before the watch was there.
    this.refresh();
  }

  /** Reads the file again if it is another one than before. */
  refresh(): void {
    const state = stateOf(this.path);
    if (state === this.#seen) return;
    this.#seen = state;
    try {
      const keys = readDurable(this.path);
      this.#fault = undefined;
      this.#keys = keys;
      this.#log.info({ path: this.path, keys: keys.map((key) => key.id) }, "encryption keys read");
    } catch (error) {
      this.#fault = error instanceof Error ? error : new Error(String(error));
      this.#log.error({ err: error, path: this.path }, "the encryption keys cannot be read: no Secret is written until they can");
      return;
    }
    for (const listener of this.#onChange) listener();
  }
}

/** Tells one state of a file from another without reading it. */
function stateOf(path: string): string {
  try {
    const { ino, mtimeNs, ctimeNs, size } = statSync(path, { bigint: true });
    return `${ino} ${mtimeNs} ${ctimeNs} ${size}`;
  } catch (error) {
    // Reading it will fail too, and say so.
    return `none: ${(error as NodeJS.ErrnoException).code}`;
  }
}

/** Who put the file there may not have come to sync it, and what a loss of power takes away must not have been used before. */
function readDurable(path: string): readonly [FileKey, ...FileKey[]] {
  const file = openSync(path, "r");
  try {
    const keys = parseKeyFile(readFileSync(file, "utf8"), path);
    fsyncSync(file);
    const folder = openSync(dirname(path), "r");
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
    return keys;
  } finally {
    closeSync(file);
  }
}
