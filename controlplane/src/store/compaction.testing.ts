import { Etcd3 } from "etcd3";

/** Makes an etcd forget its history before `revision`, as its own compaction does now and then. */
export async function compact({ url }: { readonly url: string }, revision: number): Promise<void> {
  const client = new Etcd3({ hosts: url });
  await client.kv.compact({ revision, physical: true }).finally(() => client.close());
}
