import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
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
  /** SIGSTOP; resolves when no thread of it runs any more. */
  pause(): Promise<void>;
  /** SIGCONT. */
  resume(): void;
  /** Removes the data of a killed server. */
  wipe(): Promise<void>;
}

export interface TestEtcd extends TestServer {
  /** For `new EtcdClient(etcd.endpoints)`. */
  readonly endpoints: EtcdEndpoints;
}

export interface TestNats extends TestServer {}

/** An etcd in a temporary folder on a free loopback port, without fsync. */
export async function startTestEtcd(options: { readonly quotaBytes?: number } = {}): Promise<TestEtcd> {
  const dir = await mkdtemp(join(tmpdir(), "tessera-etcd-"));
  const etcd = new EmbeddedEtcd({ ...options, dir, log: silent(), unsafeNoFsync: true });
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
    async pause() {
      signalTo(server, "SIGSTOP");
      while (!isStopped(server.pid)) await delay(1);
    },
    resume: () => signalTo(server, "SIGCONT"),
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

function signalTo({ pid }: { readonly pid: number | undefined }, signal: NodeJS.Signals): void {
  if (pid === undefined) throw new Error("the server does not run");
  process.kill(pid, signal);
}

/** A stop reaches the threads of a process one after the other. */
function isStopped(pid: number | undefined): boolean {
  const states = readdirSync(`/proc/${pid}/task`).map((thread) => readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8"));
  return states.every((stat) => /\) [tT] /.test(stat));
}

function silent() {
  return pino({ level: "silent" });
}
