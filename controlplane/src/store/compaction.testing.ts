import { Etcd3 } from "etcd3";

/** Makes an etcd forget its history before `revision`, as its own compaction does now and then. */
export async function compact({ url }: { readonly url: string }, revision: number): Promise<void> {
  const client = new Etcd3({ hosts: url });
  await client.kv.compact({ revision, physical: true }).finally(() => client.close());
}

/** Gives a compacted etcd's free space back and ends its alarm, as `etcdctl defrag` and `alarm disarm` do. */
export async function makeRoom({ url }: { readonly url: string }): Promise<void> {
  const client = new Etcd3({ hosts: url });
  try {
    await client.maintenance.defragment();
    const { alarms } = await client.maintenance.alarm({ action: "Get" });
    for (const { memberID, alarm } of alarms) await client.maintenance.alarm({ action: "Deactivate", memberID, alarm });
  } finally {
    client.close();
  }
}
