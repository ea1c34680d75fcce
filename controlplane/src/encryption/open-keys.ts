import type { Logger } from "pino";
import type { EtcdClient } from "../store/etcd-client.ts";
import { newKey, readKeyFile, writeKeyFile } from "./key-file.ts";
import { findUses } from "./sealed-values.ts";
import { WatchedKeyFile } from "./watched-key-file.ts";

/** Name of the key file below DIR/pki. */
export const keyFileName = "encryption-keys.json";

/**
 * The keys of the key file, which is made at the first start. When it is missing later, while etcd holds values that need it, a new one would only hide the
 * loss: that is refused.
 */
export async function openEncryptionKeys(options: { path: string; client: EtcdClient; log: Logger }): Promise<WatchedKeyFile> {
  const { path, client, log } = options;
  if ((await readKeyFile(path)) === undefined) {
    const uses = await findUses(client);
    if (uses.size > 0) {
      const count = [...uses.values()].reduce((sum, keys) => sum + keys.length, 0);
      const ids = [...uses.keys()].map((id) => `"${id}"`).join(", ");
      throw new Error(
        `${path} is missing, and etcd holds ${count} Secrets sealed under encryption key ${ids}: put the file back from a backup or from another control plane; if it is lost for good, "controlplane rotate-encryption-key" makes a new one, and those Secrets stay unreadable`,
      );
    }
    // Another control plane may be at the same: then its file is the one.
    if (await writeKeyFile(path, [newKey(new Date())], "create")) log.info({ path }, "made the first encryption key");
  }
  return new WatchedKeyFile(path, log);
}
