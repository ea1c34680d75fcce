import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { TesseraError } from "@tessera/proto";
import type { Descriptor } from "./manifest.ts";
import type { BlobStream, RegistryClient } from "./registry-client.ts";
import { explainNetworkError, isPassing } from "./registry-http.ts";

/** So many failures in a row without a new byte end a download. */
const MAX_FAILURES = 5;
const FIRST_DELAY_MS = 100;

export interface BlobDownload {
  readonly client: Pick<RegistryClient, "blob">;
  readonly descriptor: Descriptor;
  /** A file that does not exist yet. */
  readonly path: string;
  readonly signal: AbortSignal;
  /** Called with the bytes that are there so far; it may go back to 0. */
  readonly onBytes?: (bytes: number) => void;
}

/**
 * Downloads a blob to a file, verifying size and digest as it comes; after a lost connection it goes on where it was. Throws TesseraError
 * "Invalid" when the content is not what the descriptor says; the caller removes the file.
 */
export async function downloadBlob({ client, descriptor, path, signal, onBytes }: BlobDownload): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    const received = new ReceivedBlob(descriptor, file);
    for (let failures = 0; ; ) {
      const before = received.bytes;
      try {
        await received.take(await client.blob(descriptor, received.bytes, signal), signal, onBytes);
        break;
      } catch (error) {
        signal.throwIfAborted();
        // Lost after the last byte: the digest decides.
        if (isPassing(error) && received.bytes === descriptor.size && descriptor.size > 0) break;
        failures = received.bytes > before ? 1 : failures + 1;
        if (!isPassing(error) || failures >= MAX_FAILURES) throw error;
        await delay(FIRST_DELAY_MS * 2 ** failures, undefined, { signal });
      }
    }
    received.verify();
  } finally {
    await file.close();
  }
}

class ReceivedBlob {
  readonly #descriptor: Descriptor;
  readonly #file: FileHandle;
  #hash = createHash("sha256");
  #bytes = 0;

  constructor(descriptor: Descriptor, file: FileHandle) {
    this.#descriptor = descriptor;
    this.#file = file;
  }

  get bytes(): number {
    return this.#bytes;
  }

  async take({ body, start, url }: BlobStream, signal: AbortSignal, onBytes: BlobDownload["onBytes"]): Promise<void> {
    if (start !== this.#bytes) await this.#startOver();
    const { digest, size } = this.#descriptor;
    const chunks = body[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await chunks.next().catch((error: unknown) => {
          signal.throwIfAborted();
          throw explainNetworkError(error, url);
        });
        if (next.done) break;
        if (this.#bytes + next.value.length > size)
          throw new TesseraError("Invalid", `blob ${digest} is longer than the ${size} bytes of its manifest`);
        await this.#append(next.value);
        onBytes?.(this.#bytes);
      }
    } finally {
      await chunks.return?.();
    }
    if (this.#bytes < size)
      throw new TesseraError("ServiceUnavailable", `${url.host} ended blob ${digest} after ${this.#bytes} of ${size} bytes`);
  }

  verify(): void {
    const actual = `sha256:${this.#hash.digest("hex")}`;
    if (actual !== this.#descriptor.digest)
      throw new TesseraError("Invalid", `digest mismatch for blob ${this.#descriptor.digest}: the registry sent ${actual}`);
  }

  async #append(chunk: Buffer): Promise<void> {
    this.#hash.update(chunk);
    // By place, for after a new beginning the file's own place is not the beginning.
    for (let at = 0; at < chunk.length; ) at += (await this.#file.write(chunk, at, chunk.length - at, this.#bytes + at)).bytesWritten;
    this.#bytes += chunk.length;
  }

  async #startOver(): Promise<void> {
    await this.#file.truncate(0);
    this.#hash = createHash("sha256");
    this.#bytes = 0;
  }
}
