import type { EtcdClient } from "../store/etcd-client.ts";
import type { ValueSealing } from "../store/sealing.ts";
import { sealedValues } from "./sealed-values.ts";

/**
 * Removes the Secrets that cannot be read, and resolves to their keys in etcd: the way out when an encryption key is lost for good, since the API deletes
 * nothing whose finalizers it cannot see. Those that are changed meanwhile stay.
 */
export async function discardUnreadable(client: EtcdClient, sealing: ValueSealing): Promise<readonly string[]> {
  const removed: string[] = [];
  for await (const items of sealedValues(client)) {
    for (const { key, value, modRevision } of items) {
      if (isReadable(sealing, key, value)) continue;
      const [result] = await client.write([{ key, expected: modRevision, value: undefined }]);
      if (result?.done === true) removed.push(key);
    }
  }
  return removed;
}

function isReadable(sealing: ValueSealing, key: string, value: Buffer): boolean {
  try {
    sealing.unseal(key, value);
    return true;
  } catch {
    return false;
  }
}
