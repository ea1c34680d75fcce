import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { parse } from "yaml";
import { addToKubeconfig, readAdminAccess, readContexts, removeFromKubeconfig } from "./kubeconfig.ts";

const access = { server: "https://127.0.0.1:16443", certificateAuthority: "Y2E=", clientCertificate: "Y2VydA==", clientKey: "a2V5" };

const another = `# where I keep my clusters
apiVersion: v1
kind: Config
current-context: work
clusters:
  - name: work # the big one
    cluster:
      server: https://work.example
users:
  - name: me
    user: { token: abc }
contexts:
  - name: work
    context: { cluster: work, user: me }
preferences: {}
`;

describe("the kubeconfig", () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "kubeconfig-"));
    path = join(folder, "config");
  });
  afterEach(async () => await rm(folder, { recursive: true }));

  it("is made, for nobody else to read, when there is none", async () => {
    path = join(folder, "new", "config");
    await addToKubeconfig(path, "tessera-dev", access);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(parse(await readFile(path, "utf8")), {
      apiVersion: "v1",
      kind: "Config",
      preferences: {},
      clusters: [{ name: "tessera-dev", cluster: { server: access.server, "certificate-authority-data": "Y2E=" } }],
      users: [{ name: "tessera-dev", user: { "client-certificate-data": "Y2VydA==", "client-key-data": "a2V5" } }],
      contexts: [{ name: "tessera-dev", context: { cluster: "tessera-dev", user: "tessera-dev" } }],
      "current-context": "tessera-dev",
    });
  });

  it("keeps other entries and comments, when a cluster comes and when it goes", async () => {
    await writeFile(path, another);
    await addToKubeconfig(path, "tessera-dev", access);
    const merged = await readFile(path, "utf8");
    assert.match(merged, /# where I keep my clusters/);
    assert.match(merged, /- name: work # the big one/);
    assert.equal(parse(merged)["current-context"], "tessera-dev");
    await removeFromKubeconfig(path, "tessera-dev");
    const left = parse(await readFile(path, "utf8"));
    assert.deepEqual(left, { ...parse(another), "current-context": "" });
  });

  it("leaves a current context that is another one's", async () => {
    await addToKubeconfig(path, "tessera-a", access);
    await addToKubeconfig(path, "tessera-b", access);
    await removeFromKubeconfig(path, "tessera-a");
    assert.equal(parse(await readFile(path, "utf8"))["current-context"], "tessera-b");
    assert.deepEqual(await readContexts(path), ["tessera-b"]);
  });

  it("is not written when nothing would change", async () => {
    await addToKubeconfig(path, "tessera-dev", access);
    const before = await stat(path);
    await addToKubeconfig(path, "tessera-dev", access);
    const after = await stat(path);
    assert.deepEqual([after.mtimeMs, after.ino], [before.mtimeMs, before.ino]);
  });

  it("reads well again after it was empty", async () => {
    await addToKubeconfig(path, "tessera-dev", access);
    const before = await readFile(path, "utf8");
    await removeFromKubeconfig(path, "tessera-dev");
    await addToKubeconfig(path, "tessera-dev", access);
    assert.deepEqual(
      (await readFile(path, "utf8")).split("\n").filter((line) => !line.includes("current-context")),
      before.split("\n").filter((line) => !line.includes("current-context")),
    );
  });

  it("replaces what an earlier cluster of that name left", async () => {
    await addToKubeconfig(path, "tessera-dev", { ...access, server: "https://127.0.0.1:1" });
    await addToKubeconfig(path, "tessera-dev", access);
    const { clusters } = parse(await readFile(path, "utf8"));
    assert.equal(clusters.length, 1);
    assert.equal(clusters[0].cluster.server, access.server);
  });

  it("takes the empty lists that kubectl leaves", async () => {
    await writeFile(
      path,
      'apiVersion: v1\nclusters: null\ncontexts: null\ncurrent-context: ""\nkind: Config\npreferences: {}\nusers: null\n',
    );
    await addToKubeconfig(path, "tessera-dev", access);
    assert.deepEqual(await readContexts(path), ["tessera-dev"]);
  });

  it("is written through a link, which stays", async () => {
    const real = join(folder, "real");
    await writeFile(real, another);
    await symlink(real, path);
    await addToKubeconfig(path, "tessera-dev", access);
    assert.deepEqual(await readContexts(real), ["work", "tessera-dev"]);
  });

  for (const [sentence, text] of [
    ["is broken", "clusters: [\n"],
    ["holds a list", "- a\n"],
  ] as const) {
    it(`is left alone when it ${sentence}`, async () => {
      await writeFile(path, text);
      await assert.rejects(addToKubeconfig(path, "tessera-dev", access), { reason: "BadRequest", message: /left alone/ });
      assert.equal(await readFile(path, "utf8"), text);
    });
  }

  it("is written one at a time by many at once", async () => {
    await Promise.all(["a", "b", "c", "d"].map(async (name) => await addToKubeconfig(join(path), `tessera-${name}`, access)));
    assert.deepEqual((await readContexts(path)).sort(), ["tessera-a", "tessera-b", "tessera-c", "tessera-d"]);
  });

  it("is not blocked by the lock of a program that was killed", async () => {
    await writeFile(`${path}.lock`, JSON.stringify({ pid: process.pid, startTime: 1 }));
    await addToKubeconfig(path, "tessera-dev", access);
    assert.deepEqual(await readdir(folder), ["config"]);
  });

  it("of the control plane's administrator must say everything", async () => {
    await writeFile(path, another);
    await assert.rejects(readAdminAccess(path), { message: /does not say the certificateAuthority/ });
  });
});
