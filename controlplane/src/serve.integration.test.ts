import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { startTestEtcd, startTestNats } from "./embedded/testing.ts";

const run = promisify(execFile);
const program = new URL("./main.ts", import.meta.url).pathname;

interface Ports {
  readonly api: string;
  readonly node: string;
  readonly etcd: { readonly pid: number; readonly clientUrl: string };
  readonly nats: { readonly pid: number; readonly url: string };
}

let dir: string;
let server: ChildProcess;

/** Starts the program and waits until its log says that it serves. */
async function start(...more: readonly string[]): Promise<Ports> {
  const listen = ["--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0", "--advertise", "api.example.com"];
  const args = ["serve", "--data-dir", dir, ...listen, ...more];
  server = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "inherit", "pipe"] });
  assert.ok(server.stderr !== null);
  for await (const line of createInterface({ input: server.stderr })) {
    if (line.includes('"msg":"control plane serves"')) {
      server.stderr.resume();
      return JSON.parse(await readFile(join(dir, "ports.json"), "utf8")) as Ports;
    }
  }
  throw new Error("the control plane ended before it served");
}

async function kubectl(...args: string[]): Promise<string> {
  const { stdout } = await run("kubectl", args, { env: { ...process.env, KUBECONFIG: join(dir, "admin.kubeconfig") } });
  return stdout;
}

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "tessera-serve-"));
});
after(async () => {
  server.kill("SIGKILL");
  await rm(dir, { recursive: true, force: true });
});

test("one command brings up everything, and leaves nothing running", async () => {
  const ports = await start();
  assert.equal(await kubectl("get", "--raw", "/readyz"), "ok");
  assert.match(await kubectl("get", "ns"), /^kube-system +Active/m);
  await kubectl("create", "cm", "kept", "--from-literal=a=b");
  assert.equal((await stat(join(dir, "admin.kubeconfig"))).mode & 0o777, 0o600);
  for (const { pid } of [ports.etcd, ports.nats]) assert.ok(process.kill(pid, 0));

  server.kill("SIGTERM");
  const [code] = await once(server, "exit");
  assert.equal(code, 0);
  for (const { pid } of [ports.etcd, ports.nats]) assert.throws(() => process.kill(pid, 0), /ESRCH/);
});

test("a killed control plane comes back with all that it had", async () => {
  await start();
  const before = await readFile(join(dir, "pki", "ca.crt"), "utf8");
  await kubectl("create", "cm", "second", "--from-literal=a=b");
  server.kill("SIGKILL");
  await once(server, "exit");
  await start();
  assert.match(await kubectl("get", "cm", "-o", "name"), /configmap\/kept\n(.*\n)*configmap\/second\n/);
  assert.equal(await readFile(join(dir, "pki", "ca.crt"), "utf8"), before);
});

test("etcd and NATS trust none of the certificates that users and nodes get", async () => {
  const [ca, internal] = await Promise.all(
    ["ca", "internal-ca"].map(async (name) => new X509Certificate(await readFile(join(dir, "pki", `${name}.crt`)))),
  );
  const admin = new X509Certificate(await readFile(join(dir, "pki", "admin.crt")));
  const etcd = new X509Certificate(await readFile(join(dir, "pki", "etcd.crt")));
  assert.deepEqual(
    [ca, internal].map((each) => each !== undefined && admin.verify(each.publicKey)),
    [true, false],
  );
  assert.deepEqual(
    [ca, internal].map((each) => each !== undefined && etcd.verify(each.publicKey)),
    [false, true],
  );
});

test("the server's certificate has the names that were advertised", async () => {
  const certificate = new X509Certificate(await readFile(join(dir, "pki", "server.crt")));
  assert.notEqual(certificate.checkHost("api.example.com"), undefined);
  assert.notEqual(certificate.checkIP("127.0.0.1"), undefined);
});

test("node credentials come from the cluster that is there, and only then", async () => {
  const out = join(dir, "node-1");
  await run(process.execPath, [program, "node-credentials", "--data-dir", dir, "--name", "node-1", "--out", out]);
  const certificate = new X509Certificate(await readFile(join(out, "node.crt")));
  assert.equal(certificate.subject, "CN=system:node:node-1\nO=system:nodes");
  await assert.rejects(
    run(process.execPath, [program, "node-credentials", "--data-dir", join(dir, "none"), "--name", "n", "--out", out]),
    (error: { code?: number; stderr?: string }) =>
      error.code === 1 && /holds no cluster yet: start "controlplane serve/.test(error.stderr ?? ""),
  );
});

test("a port that is taken is a clear end", async () => {
  const { api } = JSON.parse(await readFile(join(dir, "ports.json"), "utf8")) as Ports;
  const other = await mkdtemp(join(tmpdir(), "tessera-serve-"));
  try {
    const { code, stderr } = await run(process.execPath, [
      program,
      "serve",
      "--data-dir",
      other,
      "--listen",
      api,
      "--node-listen",
      "127.0.0.1:0",
    ]).then(
      () => ({ code: 0, stderr: "" }),
      (error: { code: number; stderr: string }) => error,
    );
    assert.equal(code, 1);
    assert.match(stderr, /EADDRINUSE.*control plane cannot run/s);
  } finally {
    await rm(other, { recursive: true, force: true });
  }
});

test("with endpoints given, it uses that etcd and that NATS, and starts none of its own", async () => {
  await using etcd = await startTestEtcd();
  await using nats = await startTestNats();
  const ownDir = dir;
  server.kill("SIGTERM");
  await once(server, "exit");
  try {
    const given = ["--etcd-endpoints", etcd.url, "--nats-url", nats.url];
    // Two control planes that share nothing but etcd and NATS see the same objects.
    dir = join(ownDir, "first");
    await start(...given);
    await kubectl("create", "cm", "shared", "--from-literal=a=b");
    await assert.rejects(stat(join(dir, "etcd")), { code: "ENOENT" });
    await assert.rejects(stat(join(dir, "nats")), { code: "ENOENT" });
    server.kill("SIGTERM");
    await once(server, "exit");
    assert.ok(process.kill(etcd.pid ?? -1, 0), "the given etcd is left alone");
    dir = join(ownDir, "second");
    await start(...given);
    assert.equal(await kubectl("get", "cm", "shared", "-o", "jsonpath={.data.a}"), "b");
    server.kill("SIGTERM");
    await once(server, "exit");
  } finally {
    server.kill("SIGKILL");
    dir = ownDir;
  }
});
