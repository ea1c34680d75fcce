import type { EtcdEndpoints } from "../store/etcd-client.ts";

export interface TestEtcd extends AsyncDisposable {
  /** For `new EtcdClient(etcd.endpoints)`. */
  readonly endpoints: EtcdEndpoints;
  /** Of the present process. */
  readonly pid: number;
  /** SIGKILL; the process stays away until `restart`. */
  kill(): Promise<void>;
  restart(): Promise<void>;
}

export interface TestNats extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  kill(): Promise<void>;
  restart(): Promise<void>;
}

/** An etcd in a temporary folder on a free loopback port, without fsync. `await using etcd = await startTestEtcd()`. */
export async function startTestEtcd(): Promise<TestEtcd> {
  throw new Error("not written yet");
}

/** A nats-server with JetStream in a temporary folder on a free loopback port. */
export async function startTestNats(): Promise<TestNats> {
  throw new Error("not written yet");
}
