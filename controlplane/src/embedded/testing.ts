import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import type { EtcdEndpoints } from "../store/etcd-client.ts";
import { EmbeddedEtcd } from "./embedded-etcd.ts";
import { EmbeddedNats } from "./embedded-nats.ts";

/** A real server for tests; gone, with its folder, at the end of the scope: `await using etcd = await startTestEtcd()`. */
interface TestServer extends AsyncDisposable {
  readonly url: string;
  /** Of the present process; undefined after `kill`. */
  readonly pid: number | undefined;
  readonly dir: string;
  /** SIGKILL; the process stays away until `restart`. */
  kill(): Promise<void>;
  /** On the same port, with the same data. */
  restart(): Promise<void>;
  /** Removes the data of a killed server. */
  wipe(): Promise<void>;
}

export interface TestEtcd extends TestServer {
  /** For `new EtcdClient(etcd.endpoints)`. */
  readonly endpoints: EtcdEndpoints;
}

export interface TestNats extends TestServer {}

/** An etcd in a temporary folder on a free loopback port, without fsync. */
export async function startTestEtcd(): Promise<TestEtcd> {
  const dir = await mkdtemp(join(tmpdir(), "tessera-etcd-"));
  const etcd = new EmbeddedEtcd({ dir, log: silent(), unsafeNoFsync: true });
  await etcd.start(AbortSignal.timeout(30_000));
  const { endpoints } = etcd;
  return {
    ...testServer(etcd, dir),
    url: etcd.url,
    endpoints,
    get pid() {
      return etcd.pid;
    },
  };
}

/** A nats-server with JetStream in a temporary folder on a free loopback port. */
export async function startTestNats(): Promise<TestNats> {
  const dir = await mkdtemp(join(tmpdir(), "tessera-nats-"));
  const nats = new EmbeddedNats({ dir, log: silent() });
  await nats.start(AbortSignal.timeout(30_000));
  return {
    ...testServer(nats, dir),
    url: nats.url,
    get pid() {
      return nats.pid;
    },
  };
}

function testServer(server: EmbeddedEtcd | EmbeddedNats, dir: string) {
  return {
    dir,
    kill: () => server.close("SIGKILL"),
    wipe: async () => {
      for (const data of ["data", "jetstream"]) await rm(join(dir, data), { recursive: true, force: true });
    },
    restart: () => server.start(AbortSignal.timeout(30_000)),
    [Symbol.asyncDispose]: async () => {
      await server.close("SIGKILL");
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function silent() {
  return pino({ level: "silent" });
}
