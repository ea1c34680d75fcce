import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { TesseraError } from "@tessera/proto";
import { connect } from "nats";
import { pino } from "pino";
import { startProgram } from "../../../runtime-native/ts/testing/program.ts";
import { Pki } from "../auth/pki.ts";
import { EtcdClient } from "../store/etcd-client.ts";
import { EmbeddedEtcd, type TlsFiles } from "./embedded-etcd.ts";
import { EmbeddedNats } from "./embedded-nats.ts";
import { natsTls } from "./nats-tls.ts";
import { identityOf, isAlive, type ProcessIdentity } from "./process-identity.ts";
import { SupervisedChild } from "./supervised-child.ts";
import { startTestEtcd, startTestNats } from "./testing.ts";

const log = pino({ level: "silent" });
const soon = (): AbortSignal => AbortSignal.timeout(60_000);

async function temporary(): Promise<{ dir: string } & AsyncDisposable> {
  const dir = await mkdtemp(join(tmpdir(), "tessera-embedded-"));
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function living(pid: number | undefined): ProcessIdentity {
  const identity = identityOf(pid ?? 0);
  assert.ok(identity !== undefined, `process ${pid}`);
  return identity;
}

/** A process that is none of ours, to be found by us as if it were. */
function sleeper(): { child: ChildProcess; identity: ProcessIdentity } & Disposable {
  const child = spawn("sleep", ["1000"], { stdio: "ignore" });
  return { child, identity: living(child.pid), [Symbol.dispose]: () => child.kill("SIGKILL") };
}

test("a killed etcd is started again, on the same address with the same data", async () => {
  await using folder = await temporary();
  const started: number[] = [];
  const etcd = new EmbeddedEtcd({ ...folder, log, unsafeNoFsync: true, onStarted: ({ pid }) => started.push(pid) });
  await etcd.start(soon());
  try {
    const { url } = etcd;
    const client = new EtcdClient(etcd.endpoints);
    await client.write([{ key: "/a", expected: 0, value: Buffer.from("kept") }]);
    process.kill(started[0] ?? 0, "SIGKILL");
    await until(() => started.length === 2, "the second process");
    assert.notEqual(started[1], started[0]);
    assert.equal(etcd.pid, started[1]);
    assert.equal(etcd.url, url);
    assert.equal((await client.range({ key: "/a" })).items[0]?.value.toString(), "kept");
    client.close();
  } finally {
    await etcd.close();
  }
  assert.deepEqual(started.map(identityOf), [undefined, undefined]);
});

test("a killed nats-server is started again", async () => {
  await using folder = await temporary();
  const started: number[] = [];
  const nats = new EmbeddedNats({ ...folder, log, onStarted: ({ pid }) => started.push(pid) });
  await nats.start(soon());
  try {
    process.kill(started[0] ?? 0, "SIGKILL");
    await until(() => started.length === 2, "the second process");
    const connection = await connect({ servers: nats.url });
    await connection.close();
  } finally {
    await nats.close();
  }
  assert.deepEqual(started.map(identityOf), [undefined, undefined]);
});

test("with TLS, both let in only who has a certificate of the CA", async () => {
  await using folder = await temporary();
  const pki = await Pki.open(join(folder.dir, "pki"), "internal-ca");
  const strangers = await Pki.open(join(folder.dir, "other-pki"), "internal-ca");
  const server = { usages: ["server", "client"] as const, names: ["127.0.0.1", "localhost"] };
  const pair = async (from: Pki, name: "etcd" | "etcd-client"): Promise<TlsFiles> => {
    const request = name === "etcd" ? { commonName: name, ...server } : { commonName: name, usages: ["client"] as const };
    return { ...(await from.ensure(name, request)), caFile: pki.caFile };
  };
  const tls = { server: await pair(pki, "etcd"), client: await pair(pki, "etcd-client") };
  const stranger = await pair(strangers, "etcd-client");

  const etcd = new EmbeddedEtcd({ dir: join(folder.dir, "etcd"), log, tls, unsafeNoFsync: true });
  const nats = new EmbeddedNats({ dir: join(folder.dir, "nats"), log, tls });
  try {
    await Promise.all([etcd.start(soon()), nats.start(soon())]);
    assert.match(etcd.url, /^https:/);
    assert.match(nats.url, /^tls:/);
    const client = new EtcdClient(etcd.endpoints);
    await client.touch("/a");
    client.close();
    const [cert, key] = await Promise.all([readFile(stranger.certFile), readFile(stranger.keyFile)]);
    const refused = new EtcdClient({ ...etcd.endpoints, callTimeoutMs: 500, tls: { ca: await readFile(pki.caFile), cert, key } });
    await assert.rejects(refused.touch("/b"), (error: unknown) => error instanceof TesseraError);
    refused.close();

    await (await connect({ servers: nats.url, tls: natsTls(nats.url, tls.client) })).close();
    await assert.rejects(connect({ servers: nats.url, tls: natsTls(nats.url, stranger), reconnect: false }), /TLS|certificate|ECONNRESET/i);
    await assert.rejects(
      connect({ servers: nats.url, tls: { ...natsTls(nats.url, tls.client), certFile: undefined, keyFile: undefined }, reconnect: false }),
    );
    const otherCa = { ...tls.client, caFile: strangers.caFile };
    await assert.rejects(connect({ servers: nats.url, tls: natsTls(nats.url, otherCa), reconnect: false }), /certificate/);
    const otherHost = natsTls("tls://192.0.2.1:4222", tls.client);
    await assert.rejects(connect({ servers: nats.url, tls: otherHost, reconnect: false }), /192\.0\.2\.1 is not in the cert/);
  } finally {
    await Promise.all([etcd.close(), nats.close()]);
  }
});

test("children die with their parent, even when that is killed", async () => {
  await using folder = await temporary();
  const program = `
    import { EmbeddedEtcd } from ${JSON.stringify(new URL("./embedded-etcd.ts", import.meta.url).href)};
    import { pino } from "pino";
    const etcd = new EmbeddedEtcd({ dir: ${JSON.stringify(folder.dir)}, log: pino({ level: "silent" }), unsafeNoFsync: true });
    await etcd.start(AbortSignal.timeout(60_000));
    process.stdout.write(String(etcd.pid));
  `;
  const parent = await startProgram(process.execPath, ["--input-type=module-typescript", "-e", program], { cwd: import.meta.dirname });
  const child = living(Number(parent.greeting));
  parent.kill("SIGKILL");
  await until(() => !isAlive(child), "the death of the child");
});

test("what a predecessor left behind is ended before the start, also when it does not listen to TERM", async () => {
  await using folder = await temporary();
  const stubborn = await startProgram("sh", ["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]);
  await writeFile(join(folder.dir, "process.json"), JSON.stringify(living(stubborn.pid)));
  const exit = once(stubborn, "exit");
  const etcd = new EmbeddedEtcd({ ...folder, log, unsafeNoFsync: true, stopTimeoutMs: 100 });
  try {
    await etcd.start(soon());
    assert.deepEqual(await exit, [null, "SIGKILL"]);
  } finally {
    stubborn.kill("SIGKILL");
    await etcd.close();
  }
});

for (const [what, change] of [
  ["that started at another time", { startTicks: 1 }],
  ["of another boot", { bootId: "00000000-0000-0000-0000-000000000000" }],
] as const) {
  test(`a process with the pid of the predecessor ${what} is left alone`, async () => {
    await using folder = await temporary();
    using other = sleeper();
    await writeFile(join(folder.dir, "process.json"), JSON.stringify({ ...other.identity, ...change }));
    const nats = new EmbeddedNats({ ...folder, log });
    await nats.start(soon());
    await nats.close();
    assert.ok(isAlive(other.identity));
  });
}

test("the address stays the same, unless somebody else has taken the port", async () => {
  await using folder = await temporary();
  const first = new EmbeddedNats({ ...folder, log });
  await first.start(soon());
  const { url } = first;
  await first.close();
  const second = new EmbeddedNats({ ...folder, log });
  await second.start(soon());
  assert.equal(second.url, url);
  await second.close();
  const squatter = createServer().listen(Number(new URL(url).port), "127.0.0.1");
  await once(squatter, "listening");
  const third = new EmbeddedNats({ ...folder, log });
  await third.start(soon());
  assert.notEqual(third.url, url);
  await third.close();
  squatter.close();
});

test("a missing program is an error that names the Debian package", async () => {
  await using folder = await temporary();
  const child = new SupervisedChild({
    program: "no-such-server",
    debianPackage: "no-such-package",
    ...folder,
    log,
    configure: async () => [],
    probe: async () => {},
  });
  await assert.rejects(child.start(soon()), (error: unknown) => {
    assert.ok(error instanceof TesseraError);
    assert.equal(error.reason, "ServiceUnavailable");
    return /no-such-server is not installed.*install the Debian package "no-such-package"/.test(error.message);
  });
});

test("a server that does not come up is an error with the end of its log", async () => {
  await using folder = await temporary();
  await writeFile(join(folder.dir, "data"), "a file where etcd wants a folder");
  const etcd = new EmbeddedEtcd({ ...folder, log, unsafeNoFsync: true });
  await assert.rejects(etcd.start(soon()), (error: unknown) => {
    assert.ok(error instanceof TesseraError);
    assert.equal(error.reason, "ServiceUnavailable");
    return /etcd does not come up: exit code 1; the end of .*etcd\.log:\n.*not a directory/s.test(error.message);
  });
  assert.equal(etcd.pid, undefined);
});

test("a start that is given up leaves no process", async () => {
  await using folder = await temporary();
  const stop = new AbortController();
  const etcd = new EmbeddedEtcd({ ...folder, log, unsafeNoFsync: true });
  const starting = etcd.start(stop.signal);
  await until(() => etcd.pid !== undefined, "the process");
  const child = living(etcd.pid);
  stop.abort();
  await assert.rejects(starting, { name: "AbortError" });
  assert.ok(!isAlive(child));
});

test("a start is given up even when the client that looks never answers", async () => {
  await using folder = await temporary();
  const child = new SupervisedChild({
    program: "sleep",
    debianPackage: "coreutils",
    dir: folder.dir,
    log,
    configure: async () => ["1000"],
    probe: () => new Promise(() => {}),
  });
  const stop = new AbortController();
  const start = child.start(stop.signal);
  await until(() => child.pid !== undefined, "the process");
  const process = living(child.pid);
  stop.abort();
  await assert.rejects(start, { name: "AbortError" });
  assert.equal(isAlive(process), false);
});

test("closing during the start ends the start", async () => {
  await using folder = await temporary();
  const etcd = new EmbeddedEtcd({ ...folder, log, unsafeNoFsync: true });
  const starting = assert.rejects(etcd.start(soon()), /etcd was stopped before it served/);
  await until(() => etcd.pid !== undefined, "the process");
  await etcd.close();
  await starting;
});

test("log files are bounded", async () => {
  await using folder = await temporary();
  await mkdir(folder.dir, { recursive: true });
  const file = await open(join(folder.dir, "nats-server.log"), "w");
  await file.truncate(17 * 1024 * 1024);
  await file.close();
  const nats = new EmbeddedNats({ ...folder, log });
  await nats.start(soon());
  await nats.close();
  assert.ok((await stat(join(folder.dir, "nats-server.log"))).size < 100_000);
  assert.equal((await stat(join(folder.dir, "nats-server.log.1"))).size, 17 * 1024 * 1024);
});

test("fixtures leave nothing behind", async () => {
  const servers = await Promise.all([startTestEtcd(), startTestNats()]);
  const children = servers.map(({ pid }) => living(pid));
  for (const server of servers) await server[Symbol.asyncDispose]();
  assert.deepEqual(children.map(isAlive), [false, false]);
  for (const { dir } of servers) await assert.rejects(stat(dir), { code: "ENOENT" });
});
