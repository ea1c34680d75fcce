import { TesseraError } from "@tessera/proto";
import type { ResourceCache } from "../store/cache.ts";

/** The number in a resourceVersion; throws TesseraError "BadRequest" for anything else. */
export function parseResourceVersion(text: string): number {
  const revision = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(revision)) {
    throw new TesseraError("BadRequest", `resourceVersion: Invalid value: ${JSON.stringify(text)}: must be a non-negative integer`);
  }
  return revision;
}

/** Waits until the cache is not older than `revision`. */
export async function waitForRevision<T>(
  cache: ResourceCache<T>,
  revision: number,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<void> {
  if (cache.revision >= revision) return;
  try {
    await cache.waitFor(revision, options);
  } catch (cause) {
    if (!(cause instanceof TesseraError && cause.reason === "Timeout")) throw cause;
    throw new TesseraError("Timeout", `Too large resource version: ${revision}, current: ${cache.revision}`, {
      cause,
      causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version", field: "" }],
      details: { retryAfterSeconds: 1 },
    });
  }
}
