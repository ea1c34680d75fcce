import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { findUses } from "./encryption/sealed-values.ts";
import { EtcdClient } from "./store/etcd-client.ts";

const run = promisify(execFile);
const program = new URL("./main.ts", import.meta.url).pathname;
const text = "hunter2-nobody-shall-read-me";
const encoded = Buffer.from(text).toString("base64");
const secretCount = 120;

let dir: string;
let server: ChildProcess;

async function start(): Promise<void> {
  const args = ["serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0"];
  server = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "inherit", "pipe"] });
  assert.ok(server.stderr !== null);
  for await (const line of createInterface({ input: server.stderr })) {
    if (line.includes('"msg":"control plane serves"')) {
      server.stderr.resume();
      return;
    }
  }
  throw new Error("the control plane ended before it served");
}

async function kill(): Promise<void> {
  server.kill("SIGKILL");
  await once(server, "exit");
}

async function kubectl(args: readonly string[], input = ""): Promise<string> {
  const running = run("kubectl", args, { env: { ...process.env, KUBECONFIG: join(dir, "admin.kubeconfig") }, maxBuffer: 1 << 26 });
  running.child.stdin?.end(input);
  return (await running).stdout;
}

async function rotate(...args: string[]): Promise<string> {
  return (await run(process.execPath, [program, "rotate-encryption-key", "--data-dir", dir, ...args])).stdout;
}

/** As etcd sees it, through the control plane's own certificate. */
async function withEtcd<T>(look: (client: EtcdClient) => Promise<T>): Promise<T> {
  const ports = JSON.parse(await readFile(join(dir, "ports.json"), "utf8")) as { etcd: { clientUrl: string } };
  const [ca, cert, key] = await Promise.all(
    ["internal-ca.crt", "etcd-client.crt", "etcd-client.key"].map((name) => readFile(join(dir, "pki", name))),
  );
  assert.ok(ca && cert && key);
  const client = new EtcdClient({ endpoints: [ports.etcd.clientUrl], tls: { ca, cert, key }, serverName: "localhost" });
  try {
    return await look(client);
  } finally {
    client.close();
  }
}

async function uses(): Promise<Record<string, number>> {
  return withEtcd(async (client) => Object.fromEntries([...(await findUses(client))].map(([id, keys]) => [id, keys.length])));
}

async function keyIds(): Promise<string[]> {
  const file = JSON.parse(await readFile(join(dir, "pki", "encryption-keys.json"), "utf8")) as { keys: { id: string }[] };
  return file.keys.map((key) => key.id);
}

/** Puts the value of another key under `key`, as somebody may who can write to etcd. */
async function exchange(key: string, otherKey: string): Promise<void> {
  await withEtcd(async (client) => {
    const [mine] = (await client.range({ key })).items;
    const [other] = (await client.range({ key: otherKey })).items;
    assert.ok(mine && other);
    await client.write([{ key, expected: mine.modRevision, value: other.value }]);
  });
}

function failure(message: RegExp) {
  return (error: { code?: number; stderr?: string }): boolean => {
    assert.match(error.stderr ?? "", message);
    assert.equal(error.code, 1);
    return true;
  };
}

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "tessera-rotate-"));
});
after(async () => {
  server.kill("SIGKILL");
  await rm(dir, { recursive: true, force: true });
});

test("Secrets are sealed from the first start on, without a setting", async () => {
  await start();
  assert.equal((await stat(join(dir, "pki", "encryption-keys.json"))).mode & 0o777, 0o600);
  const items = Array.from({ length: secretCount }, (_, i) => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: `s${i}`, namespace: "default" },
    stringData: { password: text },
  }));
  await kubectl(["create", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  assert.equal(await kubectl(["get", "secret", "s7", "-o", "jsonpath={.data.password}"]), encoded);
  const [first] = await keyIds();
  assert.deepEqual(await uses(), { [String(first)]: secretCount });
  for (const form of [text, encoded]) {
    await assert.rejects(run("grep", ["-raF", form, join(dir, "etcd")]), { code: 1 }, `${form} is in no file of etcd's`);
  }
});

test("a rotation is finished after a kill -9 of the control plane right behind it", async () => {
  const [old = ""] = await keyIds();
  await rotate();
  const [next = "", ...others] = await keyIds();
  assert.deepEqual(others, [old]);
  await kill();
  await start();
  for (const deadline = Date.now() + 60_000; ; await delay(20)) {
    if ((await uses())[next] === secretCount) break;
    assert.ok(Date.now() < deadline, `in vain: every Secret under ${next}`);
  }
  assert.deepEqual(await uses(), { [next]: secretCount });
  const passwords = await kubectl(["get", "secrets", "-o", "jsonpath={.items[*].data.password}"]);
  assert.deepEqual(new Set(passwords.split(" ")), new Set([encoded]));
  await assert.rejects(rotate("--prune"), failure(/was changed less than a minute ago.*try again in \d+ s/));
  assert.deepEqual(await keyIds(), [next, old]);
});

test("a Secret that was tampered with is refused by name, and can be discarded", async () => {
  const key = "/registry/secrets/default/s7";
  await exchange(key, "/registry/secrets/default/s8");
  await assert.rejects(
    kubectl(["get", "secret", "s7"]),
    failure(/\/registry\/secrets\/default\/s7 cannot be decrypted: it does not open under/),
  );
  await assert.rejects(kubectl(["get", "secrets", "--field-selector", "metadata.name=absent"]), failure(/s7 cannot be decrypted/));
  assert.match(await kubectl(["get", "--raw", "/metrics"]), /^tessera_store_unreadable_objects 1$/m);
  await assert.rejects(kubectl(["get", "secrets"]), failure(/\/registry\/secrets\/default\/s7 cannot be decrypted/));
  assert.equal(await kubectl(["get", "secret", "s8", "-o", "name"]), "secret/s8\n");
  assert.equal(await kubectl(["get", "--raw", "/readyz"]), "ok");
  assert.equal(await rotate("--discard-unreadable"), `Removed ${key}.\n`);
  assert.equal((await kubectl(["get", "secrets", "-o", "name"])).split("\n").length - 1, secretCount - 1);
});

test("a namespace does not go while a Secret in it cannot be read", async () => {
  await kubectl(["create", "namespace", "doomed"]);
  await kubectl(["create", "secret", "generic", "s", "-n", "doomed", "--from-literal=a=b"]);
  await kubectl(["create", "configmap", "c", "-n", "doomed"]);
  await exchange("/registry/secrets/doomed/s", "/registry/secrets/default/s8");
  await kubectl(["delete", "namespace", "doomed", "--wait=false"]);
  await kubectl(["wait", "--for=delete", "configmap/c", "-n", "doomed", "--timeout=10s"]);
  assert.equal(await kubectl(["get", "namespace", "doomed", "-o", "jsonpath={.status.phase}"]), "Terminating");
  await rotate("--discard-unreadable");
  await kubectl(["wait", "--for=delete", "namespace/doomed", "--timeout=10s"]);
});

test("a control plane whose key file is missing does not begin with a new one", async () => {
  await kill();
  const [next] = await keyIds();
  await rm(join(dir, "pki", "encryption-keys.json"));
  const args = ["serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0"];
  await assert.rejects(
    run(process.execPath, [program, ...args]),
    failure(new RegExp(`encryption-keys\\.json is missing, and etcd holds ${secretCount - 1} Secrets.*${next}`)),
  );
});

test("a folder without a cluster has no keys to rotate", async () => {
  await assert.rejects(
    run(process.execPath, [program, "rotate-encryption-key", "--data-dir", join(dir, "none")]),
    failure(/holds no cluster yet: start "controlplane serve/),
  );
});
