import { stat } from "node:fs/promises";
import type { EtcdClient } from "../store/etcd-client.ts";
import { newKey, readKeyFile, writeKeyFile } from "./key-file.ts";
import { withKeyFileLock } from "./key-file-lock.ts";
import { findUses } from "./sealed-values.ts";

/** Longer than any write may be under way that was sealed before the key file changed. */
const minUnchangedMs = 60_000;
const namedAtMost = 3;

/** Puts a new key in front of the others; makes the key file when there is none. Resolves to the new key's id. */
export async function addEncryptionKey(path: string, now: Date): Promise<string> {
  return withKeyFileLock(path, async () => {
    const keys = (await readKeyFile(path)) ?? [];
    const key = newKey(now);
    await writeKeyFile(path, [key, ...keys], keys.length === 0 ? "create" : "replace");
    return key.id;
  });
}

/**
 * Drops all keys but the first, and resolves to their ids. Throws, and drops none, while a value in etcd needs one of them, or while a write that was begun
 * before the first key was there could still come to need one.
 */
export async function pruneEncryptionKeys(options: { path: string; client: EtcdClient; nowMs: number }): Promise<readonly string[]> {
  const { path, client, nowMs } = options;
  return withKeyFileLock(path, async () => {
    const [current, ...others] = (await readKeyFile(path)) ?? [];
    if (current === undefined) throw new Error(`${path} is missing`);
    if (others.length === 0) return [];
    const unchangedMs = nowMs - (await stat(path)).ctimeMs;
    if (unchangedMs < minUnchangedMs) {
      const waitSeconds = Math.ceil((minUnchangedMs - unchangedMs) / 1000);
      throw new Error(
        `${path} was changed less than a minute ago, writes under an older key may be under way: try again in ${waitSeconds} s`,
      );
    }
    const uses = await findUses(client);
    const needed = others.flatMap(({ id }) => {
      const keys = uses.get(id) ?? [];
      return keys.length === 0
        ? []
        : [`"${id}" by ${keys.length} Secrets (${keys.slice(0, namedAtMost).join(", ")}${keys.length > namedAtMost ? ", ..." : ""})`];
    });
    if (needed.length > 0) {
      throw new Error(
        `encryption keys are still needed, none was dropped: ${needed.join("; ")}. A running control plane rewrites Secrets under the first key`,
      );
    }
    await writeKeyFile(path, [current], "replace");
    return others.map((key) => key.id);
  });
}
