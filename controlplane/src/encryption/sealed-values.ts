import type { EtcdClient, EtcdKey } from "../store/etcd-client.ts";
import { prefixEnd } from "../store/etcd-client.ts";
import { parseEnvelope } from "./envelope.ts";
import { sealedPrefix } from "./secret-sealing.ts";

const pageSize = 100;

/** All Secrets as they lie in etcd, at one revision, in pages. Throws TesseraError "Expired" when etcd compacts that revision meanwhile. */
export async function* sealedValues(client: EtcdClient): AsyncGenerator<readonly EtcdKey[]> {
  const end = prefixEnd(sealedPrefix);
  for (let key = sealedPrefix, revision = 0; ; ) {
    const page = await client.range({ key, end, limit: pageSize, revision });
    revision ||= page.revision;
    yield page.items;
    const last = page.items.at(-1);
    if (!page.more || last === undefined) return;
    key = `${last.key}\0`;
  }
}

/** The id of the encryption key of a stored value; undefined when it is plain or damaged. */
export function keyIdOf({ key, value }: EtcdKey): string | undefined {
  try {
    return parseEnvelope(key, value)?.keyId;
  } catch {
    // Under no key that could be named; who reads it is told.
    return undefined;
  }
}

/** The keys of etcd whose values need each encryption key, by its id. */
export async function findUses(client: EtcdClient): Promise<ReadonlyMap<string, readonly string[]>> {
  const uses = new Map<string, string[]>();
  for await (const items of sealedValues(client)) {
    for (const item of items) {
      const id = keyIdOf(item);
      if (id === undefined) continue;
      const keys = uses.get(id);
      if (keys === undefined) uses.set(id, [item.key]);
      else keys.push(item.key);
    }
  }
  return uses;
}
