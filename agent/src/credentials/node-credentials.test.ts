import assert from "node:assert/strict";
import { cp, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { CredentialsFolder } from "./node-credentials.ts";
import { newKey, signingRequest } from "./signing-request.ts";
import { TestCa } from "./testing/test-ca.ts";

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "tessera-credentials-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return join(path, "credentials");
}

async function joined(path: string, ca: TestCa): Promise<CredentialsFolder> {
  const credentials = new CredentialsFolder(path);
  const key = await credentials.stagedKey(newKey);
  const cert = await ca.sign(await signingRequest("node-1", key), "node-1");
  await credentials.join({ ca: ca.pem, cert, controlPlane: "10.0.0.1:6444" });
  return credentials;
}

test("a join leaves the three files and the address, for their owner only", async (t) => {
  const path = await folder(t);
  const credentials = await joined(path, await TestCa.create());
  assert.deepEqual((await readdir(path)).sort(), ["ca.crt", "control-plane", "node.crt", "node.key"]);
  for (const file of await readdir(path)) assert.equal((await stat(join(path, file))).mode & 0o777, 0o600, file);
  assert.equal((await stat(path)).mode & 0o777, 0o700);
  assert.equal(await credentials.controlPlane(), "10.0.0.1:6444");
  assert.match((await credentials.read())?.key ?? "", /BEGIN PRIVATE KEY/);
});

test("the key is kept until there is a certificate for it", async (t) => {
  const path = await folder(t);
  const first = await new CredentialsFolder(path).stagedKey(newKey);
  assert.equal(await new CredentialsFolder(path).stagedKey(newKey), first);
  assert.equal(await new CredentialsFolder(path).read(), undefined);
});

test("a certificate for another key changes nothing", async (t) => {
  const path = await folder(t);
  const ca = await TestCa.create();
  const credentials = await joined(path, ca);
  const before = await credentials.read();
  await credentials.stagedKey(newKey);
  const foreign = await ca.sign(await signingRequest("node-1", await newKey()), "node-1");
  await assert.rejects(credentials.renew(foreign), /for another key than was asked for/);
  assert.deepEqual(await credentials.read(), before);
});

test("whatever instant of a renewal is the last, the next start has a pair that belongs together", async (t) => {
  const path = await folder(t);
  const ca = await TestCa.create();
  const credentials = await joined(path, ca);
  const before = await credentials.read();
  const key = await credentials.stagedKey(newKey);
  const cert = await ca.sign(await signingRequest("node-1", key), "node-1");
  const after = { ca: ca.pem, cert, key };

  // The states that a renewal goes through on the disk, made by hand.
  const states: readonly [string, (at: (name: string) => string) => Promise<void>, typeof before][] = [
    ["only the key is staged", async () => undefined, before],
    ["both are staged", (at) => writeFile(at("node.crt.new"), cert), after],
    [
      "the key has its name",
      async (at) => {
        await writeFile(at("node.crt.new"), cert);
        await rename(at("node.key.new"), at("node.key"));
      },
      after,
    ],
    ["what is staged belongs to no key", (at) => writeFile(at("node.crt.new"), before?.cert.slice(0, 100) ?? ""), before],
  ];
  for (const [name, make, expected] of states) {
    const copy = `${path}-${states.findIndex(([each]) => each === name)}`;
    await cp(path, copy, { recursive: true });
    await make((file) => join(copy, file));
    assert.deepEqual(await new CredentialsFolder(copy).read(), expected, name);
    assert.equal((await readdir(copy)).includes("node.crt.new"), false, name);
  }
  await credentials.renew(cert);
  assert.deepEqual(await credentials.read(), after);
  assert.equal(await readFile(join(path, "node.key"), "utf8"), key);
});
