import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { discardUnreadable } from "./encryption/discard.ts";
import { keyFileName } from "./encryption/open-keys.ts";
import { addEncryptionKey, pruneEncryptionKeys } from "./encryption/rotate.ts";
import { SecretSealing } from "./encryption/secret-sealing.ts";
import { WatchedKeyFile } from "./encryption/watched-key-file.ts";
import { readEtcdSettings } from "./servers.ts";
import type { RotateEncryptionKeySettings } from "./settings.ts";
import { EtcdClient, type EtcdEndpoints } from "./store/etcd-client.ts";

/** The command `rotate-encryption-key`; resolves to what to tell its user. */
export async function rotateEncryptionKey({ dataDir, action, etcd }: RotateEncryptionKeySettings): Promise<string> {
  const dir = join(dataDir, "pki");
  const path = join(dir, keyFileName);
  const exists = await stat(dir).then(
    () => true,
    () => false,
  );
  if (!exists) throw new Error(`${dataDir} holds no cluster yet: start "controlplane serve --data-dir ${dataDir}" first`);
  if (action === "add") {
    const id = await addEncryptionKey(path, new Date());
    return `Secrets are written under the new key "${id}" from now on; those in etcd are rewritten by the control plane while it runs.\nDrop the older keys later with --prune.`;
  }
  const client = new EtcdClient(etcd === undefined ? await embeddedEtcd(dataDir, dir) : await readEtcdSettings(etcd));
  try {
    if (action === "discard") {
      const sealing = new SecretSealing(new WatchedKeyFile(path, pino({ level: "silent" })));
      const removed = await discardUnreadable(client, sealing);
      return removed.length === 0 ? "Every Secret can be read, none was removed." : `Removed ${removed.join(", ")}.`;
    }
    const dropped = await pruneEncryptionKeys({ path, client, nowMs: Date.now() });
    return dropped.length === 0 ? "There is one key only, nothing to drop." : `Dropped ${dropped.map((id) => `"${id}"`).join(", ")}.`;
  } finally {
    client.close();
  }
}

/** The etcd of the control plane that runs on this data folder. */
async function embeddedEtcd(dataDir: string, pkiDir: string): Promise<EtcdEndpoints> {
  const [ports, ca, cert, key] = await Promise.all([
    readFile(join(dataDir, "ports.json"), "utf8"),
    readFile(join(pkiDir, "internal-ca.crt")),
    readFile(join(pkiDir, "etcd-client.crt")),
    readFile(join(pkiDir, "etcd-client.key")),
  ]);
  const url = (JSON.parse(ports) as { etcd?: { clientUrl?: string } }).etcd?.clientUrl;
  if (url === undefined) throw new Error(`${dataDir} has no etcd of its own: name yours with --etcd-endpoints`);
  return { endpoints: [url], tls: { ca, cert, key }, serverName: "localhost" };
}
