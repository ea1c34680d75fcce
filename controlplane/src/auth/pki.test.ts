import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import type { CertificateRequest } from "./certificate-authority.ts";
import { Pki } from "./pki.ts";

const dayMs = 24 * 3600 * 1000;
const server: CertificateRequest = { commonName: "server", usages: ["server"], names: ["127.0.0.1", "api.example.com"] };

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "tessera-pki-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return join(dir, "pki");
}

test("only the owner can read what is in the folder", async (t) => {
  const dir = await folder(t);
  const pki = await Pki.open(dir);
  await pki.ensure("server", server);
  assert.equal((await stat(dir)).mode & 0o777, 0o700);
  const files = await readdir(dir);
  assert.deepEqual(files.sort(), ["ca.crt", "ca.key", "server.crt", "server.key"]);
  for (const file of files) assert.equal((await stat(join(dir, file))).mode & 0o777, 0o600, file);
});

test("a certificate says what was asked for, and the CA vouches for it", async (t) => {
  const pki = await Pki.open(await folder(t));
  const pair = await pki.ensure("admin", {
    commonName: "a,b+c",
    organizations: ["system:masters", "x"],
    usages: ["client"],
    names: ["::1"],
  });
  const certificate = new X509Certificate(pair.certPem);
  assert.deepEqual(certificate.toLegacyObject().subject, Object.assign(Object.create(null), { CN: "a,b+c", O: ["system:masters", "x"] }));
  assert.notEqual(certificate.checkIP("::1"), undefined);
  assert.deepEqual(certificate.keyUsage, ["1.3.6.1.5.5.7.3.2"]);
  assert.ok(certificate.verify(new X509Certificate(pki.authority.pair.certPem).publicKey));
  assert.equal(certificate.ca, false);
});

test("certificates are made once", async (t) => {
  const dir = await folder(t);
  const first = await (await Pki.open(dir)).ensure("server", server);
  const second = await (await Pki.open(dir)).ensure("server", server);
  assert.equal(second.certPem, first.certPem);
});

test("a certificate near its end is renewed under the same CA", async (t) => {
  const dir = await folder(t);
  const first = await (await Pki.open(dir)).ensure("server", server);
  const later = await Pki.open(dir, "ca", () => Date.now() + 340 * dayMs);
  const second = await later.ensure("server", server);
  assert.notEqual(second.certPem, first.certPem);
  assert.ok(Date.parse(new X509Certificate(second.certPem).validTo) > Date.now() + 600 * dayMs);
});

test("a new name or subject brings a new certificate", async (t) => {
  const pki = await Pki.open(await folder(t));
  const first = await pki.ensure("server", server);
  const named = await pki.ensure("server", { ...server, names: [...(server.names ?? []), "10.0.0.1"] });
  assert.notEqual(named.certPem, first.certPem);
  assert.notEqual((await pki.ensure("server", { ...server, organizations: ["x"] })).certPem, named.certPem);
});

test("a pair that was torn apart by a crash is made anew", async (t) => {
  const dir = await folder(t);
  const pki = await Pki.open(dir);
  await pki.ensure("server", server);
  await rm(join(dir, "server.crt"));
  assert.match((await pki.ensure("server", server)).certPem, /BEGIN CERTIFICATE/);
  const other = await pki.authority.issue(server);
  await writeFile(join(dir, "server.key"), other.keyPem);
  const mended = await pki.ensure("server", server);
  assert.ok(pki.authority.serves(mended, server));
});

test("certificates of another CA do not serve", async (t) => {
  const [one, other] = [await Pki.open(await folder(t)), await Pki.open(await folder(t))];
  assert.equal(one.authority.serves(await other.authority.issue(server), server), false);
});

test("an agent gets the CA and a certificate in the name of its node", async (t) => {
  const dir = await folder(t);
  const pki = await Pki.open(dir);
  await pki.writeNodeCredentials("node-1", join(dir, "out"));
  assert.deepEqual((await readdir(join(dir, "out"))).sort(), ["ca.crt", "node.crt", "node.key"]);
  const certificate = new X509Certificate(await readFile(join(dir, "out", "node.crt")));
  assert.equal(certificate.subject, "CN=system:node:node-1\nO=system:nodes");
});

test("without a cluster there is no CA to read", async (t) => {
  assert.equal(await Pki.openExisting(await folder(t)), undefined);
});
