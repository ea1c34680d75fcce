import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import test, { after, before, type TestContext } from "node:test";
import { NativeHostFiles, NativeLibrary } from "@tessera/runtime-native";
import type { RegistryCredentials } from "./credentials.ts";
import { LocalImageStore } from "./local-image-store.ts";
import { DebianRegistry } from "./testing/debian-registry.ts";
import { type BuiltImage, buildImage, ociArchive } from "./testing/image-content.ts";
import { tar } from "./testing/tar-bytes.ts";

const signal = AbortSignal.timeout(60_000);

/** bcrypt of "hunter2" for both. */
const htpasswd = ["user", "other"].map((name) => `${name}:$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n`).join("");
const login = (username: string, password = "hunter2"): RegistryCredentials => ({ scope: guarded.host, username, password });

let folder: string;
let open: DebianRegistry;
let guarded: DebianRegistry;
let image: BuiltImage;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "tessera-rights-"));
  const storage = join(folder, "storage");
  writeFileSync(join(folder, "htpasswd"), htpasswd);
  const auth = `  htpasswd:\n    realm: test\n    path: ${join(folder, "htpasswd")}`;
  [open, guarded] = await Promise.all([
    DebianRegistry.start({ folder: join(folder, "open"), storage }),
    DebianRegistry.start({ folder: join(folder, "guarded"), storage, auth }),
  ]);
  image = buildImage([await tar({ name: "file", content: "private" })]);
  await open.push("team/app", "1", image);
});

after(async () => {
  await Promise.all([open, guarded].map((registry) => registry?.stop()));
  rmSync(folder, { recursive: true, force: true });
});

async function openStore(t: TestContext, at = mkdtempSync(join(folder, "store-"))): Promise<{ store: LocalImageStore; at: string }> {
  t.after(() => rmSync(at, { recursive: true, force: true }));
  const library = new NativeLibrary({ nativeDir: resolve(import.meta.dirname, "../../../dist"), cgroupRoot: "tessera-rights-test" });
  const store = await LocalImageStore.open({ folder: at, files: new NativeHostFiles({ library }), architecture: "amd64" });
  return { store, at };
}

test("a private image is for those whom the registry has let in, also after a restart", async (t) => {
  const { store: first, at } = await openStore(t);
  const name = `${guarded.host}/team/app:1`;
  const pulled = await first.pull(name, { credentials: [login("user")], signal });
  const { store } = await openStore(t, at);
  for (const known of [name, `${guarded.host}/team/app@${image.manifest.digest}`, pulled.id]) {
    assert.equal(await store.mayUse(known, [login("user")]), true, known);
    for (const others of [[], [login("user", "guessed")], [login("other")]]) assert.equal(await store.mayUse(known, others), false, known);
  }
  await assert.rejects(store.proveRights(name, { signal }), { reason: "Unauthorized" });
  await assert.rejects(store.proveRights(name, { credentials: [login("user", "guessed")], signal }), { reason: "Unauthorized" });
  assert.equal(await store.mayUse(name, [login("user", "guessed")]), false);

  assert.equal((await store.proveRights(name, { credentials: [login("user", "guessed"), login("other")], signal })).id, pulled.id);
  const { store: again } = await openStore(t, at);
  assert.equal(await again.mayUse(name, [login("other")]), true);
  const written = readFileSync(join(at, "images.json"), "utf8");
  assert.ok(!written.includes("hunter2") && !written.includes("other"), "no credentials on disk");
});

test("an image that a registry gives to anybody is for all pods, under that name only", async (t) => {
  const { store } = await openStore(t);
  // With a login, which the registry did not ask for.
  await store.pull(`${open.host}/team/app:1`, { credentials: [{ ...login("user"), scope: open.host }], signal });
  assert.equal(await store.mayUse(`${open.host}/team/app:1`, []), true);
  await store.pull(`${guarded.host}/team/app:1`, { credentials: [login("user")], signal });
  assert.equal(await store.mayUse(`${guarded.host}/team/app:1`, []), false);
  assert.equal(await store.mayUse(`${open.host}/team/app:1`, []), true);
});

test("an image from a file is for all, whatever was or will be pulled", async (t) => {
  const { store } = await openStore(t);
  const name = `${guarded.host}/team/app:1`;
  await store.pull(name, { credentials: [login("user")], signal });
  await store.load(archiveOf(name), signal);
  assert.equal(await store.mayUse(name, []), true);
  await store.pull(name, { credentials: [login("user")], signal });
  assert.equal(await store.mayUse(name, []), true);
});

test("images of a node that did not remember rights stay free; a tag that moves on is asked for anew", async (t) => {
  const { store, at } = await openStore(t);
  const name = `${guarded.host}/team/moving:1`;
  await open.push("team/moving", "1", image);
  await store.pull(name, { credentials: [login("user")], signal });
  const table = JSON.parse(readFileSync(join(at, "images.json"), "utf8"));
  writeFileSync(join(at, "images.json"), JSON.stringify({ names: table.names }));
  const { store: updated } = await openStore(t, at);
  assert.equal(await updated.mayUse(name, []), true);
  await open.push("team/moving", "1", buildImage([await tar({ name: "file", content: "newer" })]));
  await updated.pull(name, { credentials: [login("user")], signal });
  assert.equal(await updated.mayUse(name, []), false);
});

test("an image that the registry has lost under its digest is pulled anew to prove the right", async (t) => {
  const { store } = await openStore(t);
  const [gone, newer] = [buildImage([await tar({ name: "a" })]), buildImage([await tar({ name: "b" })])];
  await open.push("team/lost", "1", gone);
  const name = `${guarded.host}/team/lost:1`;
  await store.pull(name, { credentials: [login("user")], signal });
  await open.push("team/lost", "1", newer);
  const revisions = join(folder, "storage/docker/registry/v2/repositories/team/lost/_manifests/revisions/sha256");
  rmSync(join(revisions, gone.manifest.digest.replace("sha256:", "")), { recursive: true });
  const proven = await store.proveRights(name, { credentials: [login("other")], signal });
  assert.equal(proven.id, newer.blobs[0]?.digest);
  assert.equal(await store.mayUse(name, [login("other")]), true);
});

async function* archiveOf(name: string): AsyncGenerator<Uint8Array> {
  yield await ociArchive(name, image);
}
