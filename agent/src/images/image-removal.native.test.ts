import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Readable } from "node:stream";
import test, { after, before } from "node:test";
import { NativeHostFiles, NativeLibrary } from "@tessera/runtime-native";
import { startProgram } from "../../../runtime-native/ts/testing/program.ts";
import { LocalImageStore } from "./local-image-store.ts";
import { blobPath, CrookedRegistry } from "./testing/crooked-registry.ts";
import { type BuiltImage, buildImage, ociArchive } from "./testing/image-content.ts";
import { tar } from "./testing/tar-bytes.ts";

const signal = AbortSignal.timeout(60_000);
const nativeDir = resolve(import.meta.dirname, "../../../dist");

let base: Buffer;
let one: BuiltImage;
let two: BuiltImage;
before(async () => {
  base = await tar({ name: "base", content: "shared" });
  one = buildImage([base, await tar({ name: "one", content: "1" })]);
  two = buildImage([base, await tar({ name: "two", content: "2" })]);
});

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

async function openStore(folder = mkdtempSync(join(tmpdir(), "tessera-removal-"))) {
  folders.push(folder);
  const files = new NativeHostFiles({ library: new NativeLibrary({ nativeDir, cgroupRoot: "tessera-removal-test" }) });
  return { folder, store: await LocalImageStore.open({ folder, files, architecture: "amd64" }) };
}

async function load(store: LocalImageStore, name: string, image: BuiltImage) {
  await store.load(Readable.from([await ociArchive(name, image)]), signal);
  const loaded = await store.resolve(name);
  assert.ok(loaded);
  return loaded;
}

const contentOf = (folder: string) => [...readdirSync(join(folder, "blobs/sha256")), ...readdirSync(join(folder, "layers"))].sort();
const nobody = () => false;

test("an image goes with all that no other image needs, and a new process finds the others", async () => {
  const { folder, store } = await openStore();
  await load(store, "a.example/one:1", one);
  const alone = contentOf(folder);
  const second = await load(store, "a.example/two:1", two);
  assert.equal(await store.remove(second.id, nobody), true);
  assert.deepEqual(contentOf(folder), alone);
  assert.equal(await store.resolve("a.example/two:1"), undefined);
  assert.deepEqual(readdirSync(join(folder, "staging")), []);
  const { store: next } = await openStore(folder);
  assert.deepEqual(
    (await next.list()).map(({ names }) => names),
    [["a.example/one:1"]],
  );
  const [first] = await next.list();
  assert.ok(first);
  for (const layer of await next.prepareRootfs(first)) assert.ok(existsSync(layer));
});

test("an image that is used at the last moment stays as it is", async () => {
  const { folder, store } = await openStore();
  const image = await load(store, "a.example/one:1", one);
  const before = contentOf(folder);
  assert.equal(await store.remove(image.id, ({ names }) => names.includes("a.example/one:1")), false);
  assert.deepEqual(contentOf(folder), before);
  assert.equal((await store.resolve("a.example/one:1"))?.id, image.id);
});

test("when an image was used last is known to the next process", async () => {
  const { folder, store } = await openStore();
  const [first, second] = [await load(store, "a.example/one:1", one), await load(store, "a.example/two:1", two)];
  for (const { manifest } of [one, two]) utimesSync(join(folder, "blobs/sha256", manifest.digest.replace("sha256:", "")), 1000, 1000);
  const { store: next } = await openStore(folder);
  assert.deepEqual(
    next.stored().map(({ usedAtMs }) => usedAtMs),
    [1_000_000, 1_000_000],
  );
  await next.prepareRootfs(second);
  for (const opened of [next, (await openStore(folder)).store]) {
    const used = new Map(opened.stored().map(({ image, usedAtMs }) => [image.id, usedAtMs]));
    assert.equal(used.get(first.id), 1_000_000);
    assert.ok((used.get(second.id) ?? 0) > 1_000_000);
  }
});

test("an image that was loaded anew under its name stays by its digest, until it is removed", async () => {
  const { store } = await openStore();
  const old = await load(store, "a.example/app:1", one);
  await load(store, "a.example/app:1", two);
  const digest = `a.example/app@${one.manifest.digest}`;
  assert.equal((await store.resolve(digest))?.id, old.id);
  assert.equal(await store.remove(old.id, nobody), true);
  assert.equal(await store.resolve(digest), undefined);
});

test("what a pull under way counts on is not removed beneath it", async () => {
  const { folder, store } = await openStore();
  const first = await load(store, "a.example/one:1", one);
  const registry = await CrookedRegistry.start();
  try {
    registry.add("two", "1", two);
    const asked = Promise.withResolvers<() => void>();
    // The pull finds the lowest layer on the node and waits for the one above it.
    registry.handle(blobPath("two", two, 2), (request, response) => asked.resolve(() => registry.serve(request, response)));
    const pulling = store.pull(`${registry.host}/two:1`, { signal });
    const answer = await asked.promise;
    assert.equal(await store.remove(first.id, nobody), true);
    await store.sweep();
    answer();
    const [top = "", bottom = ""] = await store.prepareRootfs(await pulling);
    assert.equal(readFileSync(join(top, "two"), "utf8"), "2");
    assert.equal(readFileSync(join(bottom, "base"), "utf8"), "shared");
    await checkWhole(folder);
    // Held no longer than the pull lasts.
    await store.remove((await pulling).id, nobody);
    assert.deepEqual(contentOf(folder), []);
  } finally {
    registry.stop();
  }
});

test("an agent that is killed at any moment of a removal leaves only whole images, and the next one sweeps up", async () => {
  for (let round = 0; round < 6; round++) {
    const { folder, store } = await openStore();
    await load(store, "a.example/one:1", one);
    await load(store, "a.example/two:1", two);
    const script = join(import.meta.dirname, "testing/removal-process.ts");
    const child = await startProgram(process.execPath, [script, folder, nativeDir, "a.example/two:1"]);
    // From its first step to after its last.
    await new Promise((resume) => setTimeout(resume, 2 * round));
    const ended = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined;
    child.kill("SIGKILL");
    await ended;
    const next = await checkWhole(folder);
    assert.equal((await next.resolve("a.example/one:1"))?.layers.length, 2);
    if ((await next.resolve("a.example/two:1")) === undefined) {
      await next.sweep();
      const { store: fresh, folder: other } = await openStore();
      await load(fresh, "a.example/one:1", one);
      assert.deepEqual(contentOf(folder), contentOf(other), `round ${round}`);
    }
  }
});

/** Every image that a new process finds can be run, and its layers are whole. */
async function checkWhole(folder: string): Promise<LocalImageStore> {
  const { store } = await openStore(folder);
  for (const image of await store.list()) {
    const layers = await store.prepareRootfs(image);
    assert.ok(existsSync(join(layers.at(-1) ?? "", "base")), image.names.join());
    assert.deepEqual(readdirSync(layers[0] ?? "").length, 1, image.names.join());
  }
  return store;
}
