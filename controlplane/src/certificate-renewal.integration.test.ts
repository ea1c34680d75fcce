import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { connect } from "node:tls";
import { promisify } from "node:util";
import { eventually } from "./controllers/testing/fakes.ts";

const run = promisify(execFile);
const program = new URL("./main.ts", import.meta.url).pathname;
/** Long enough for a busy machine to come up, short enough to wait for. */
const lifetimeMs = 9_000;

interface Ports {
  readonly api: string;
  readonly node: string;
  readonly etcd: { readonly pid: number; readonly clientUrl: string };
  readonly nats: { readonly pid: number; readonly url: string };
}

async function start(dir: string): Promise<ChildProcess> {
  const listen = ["--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0"];
  const args = ["serve", "--data-dir", dir, ...listen, "--certificate-lifetime", `${lifetimeMs / 1000}s`];
  const server = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "inherit", "pipe"] });
  assert.ok(server.stderr !== null);
  for await (const line of createInterface({ input: server.stderr })) {
    if (!line.includes('"msg":"control plane serves"')) continue;
    server.stderr.resume();
    return server;
  }
  throw new Error("the control plane ended before it served");
}

/** The certificate that a server shows on a new connection; NATS says something before. */
async function shown(address: string, speaksFirst = false): Promise<X509Certificate> {
  const [host, port] = address.split(":");
  const plain = connectTcp({ host, port: Number(port) });
  await once(plain, speaksFirst ? "data" : "connect");
  const socket = connect({ socket: plain, rejectUnauthorized: false, ALPNProtocols: ["h2", "http/1.1"] });
  await once(socket, "secureConnect");
  const certificate = socket.getPeerX509Certificate();
  socket.destroy();
  assert.ok(certificate !== undefined);
  return certificate;
}

test("a control plane outlives all its certificates, and so do watches", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "tessera-renewal-"));
  const server = await start(dir);
  t.after(async () => {
    server.kill("SIGTERM");
    await once(server, "exit");
    await rm(dir, { recursive: true, force: true });
  });
  const ports = async () => JSON.parse(await readFile(join(dir, "ports.json"), "utf8")) as Ports;
  const kubectl = async (...args: string[]): Promise<string> =>
    (await run("kubectl", ["--kubeconfig", join(dir, "admin.kubeconfig"), ...args])).stdout;
  const names = ["server", "admin", "etcd", "etcd-client", "nats", "nats-client"];
  const readAll = () => Promise.all(names.map(async (name) => new X509Certificate(await readFile(join(dir, "pki", `${name}.crt`)))));

  const first = await readAll();
  const before = await ports();
  const watch = spawn("kubectl", ["--kubeconfig", join(dir, "admin.kubeconfig"), "get", "cm", "-w", "-o", "name"]);
  t.after(() => watch.kill());
  let watched = "";
  watch.stdout.on("data", (text: Buffer) => {
    watched += text.toString();
  });
  await eventually("the watch has begun", () => watched.includes("kube-root-ca.crt"), 15_000);

  const lastEnd = Math.max(...first.map(({ validTo }) => Date.parse(validTo)));
  await eventually("the first certificates are all over, and there are others", () => Date.now() > lastEnd, 4 * lifetimeMs);
  const second = await readAll();
  for (const [index, name] of names.entries()) {
    assert.notEqual(second[index]?.fingerprint256, first[index]?.fingerprint256, name);
    assert.ok(Date.parse(second[index]?.validTo ?? "") > Date.now(), name);
  }
  for (const address of [before.api, before.node, new URL(before.etcd.clientUrl).host]) {
    const certificate = await shown(address);
    assert.ok(Date.parse(certificate.validTo) > Date.now(), `${address} shows a certificate until ${certificate.validTo}`);
  }
  assert.ok(Date.parse((await shown(new URL(before.nats.url).host, true)).validTo) > Date.now());

  // The kubeconfig has a new certificate, and a watch of the first hours still tells.
  await kubectl("create", "cm", "later", "--from-literal=a=b");
  await eventually("the watch tells", () => watched.includes("configmap/later"), 15_000);
  assert.equal(watch.exitCode, null);

  // Who connects anew does so with certificates that are good now: ours to etcd and NATS, and theirs to us.
  for (const { pid } of [before.etcd, before.nats]) process.kill(pid, "SIGKILL");
  await eventually(
    "both run again",
    async () => {
      const now = await ports();
      return now.etcd.pid !== before.etcd.pid && now.nats.pid !== before.nats.pid;
    },
    30_000,
  );
  await kubectl("create", "cm", "last", "--from-literal=a=b");
  await eventually(
    "events can be read again",
    async () =>
      await kubectl("get", "events").then(
        () => true,
        () => false,
      ),
    15_000,
  );
  assert.deepEqual(watch.exitCode, null);
});
