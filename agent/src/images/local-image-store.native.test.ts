import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Readable } from "node:stream";
import test, { type TestContext } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { StatusReason } from "@tessera/proto";
import { NativeHostFiles, NativeLibrary } from "@tessera/runtime-native";
import { LocalImageStore } from "./local-image-store.ts";
import { type TarMember, tar } from "./testing/tar-bytes.ts";

const nativeDir = resolve(import.meta.dirname, "../../../dist");
const never = new AbortController().signal;

const digest = (bytes: Buffer) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

interface ArchiveOptions {
  readonly name?: string;
  readonly compress?: (layer: Buffer) => Buffer;
  /** Changes what the archive holds after all digests were made. */
  readonly spoil?: (entries: TarMember[]) => void;
}

async function ociArchive(layers: readonly Buffer[], options: ArchiveOptions = {}): Promise<Buffer> {
  const { name = "app:1", compress = gzipSync } = options;
  const blobs = layers.map((layer) => Buffer.from(compress(layer)));
  const configuration = Buffer.from(
    JSON.stringify({ config: { Cmd: ["run"], Env: ["A=b"] }, rootfs: { type: "layers", diff_ids: layers.map(digest) } }),
  );
  const describe = (bytes: Buffer, kind: string) => ({
    mediaType: `application/vnd.oci.image.${kind}`,
    digest: digest(bytes),
    size: bytes.length,
  });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      config: describe(configuration, "config.v1+json"),
      layers: blobs.map((blob) => describe(blob, "layer.v1.tar+gzip")),
    }),
  );
  const index = {
    schemaVersion: 2,
    manifests: [{ ...describe(manifest, "manifest.v1+json"), annotations: { "org.opencontainers.image.ref.name": name } }],
  };
  const entries: TarMember[] = [
    { name: "index.json", content: JSON.stringify(index) },
    ...[manifest, configuration, ...blobs].map((bytes) => ({ name: `blobs/${digest(bytes).replace(":", "/")}`, content: bytes })),
  ];
  options.spoil?.(entries);
  return await tar(...entries);
}

async function dockerArchive(layers: readonly Buffer[], name: string): Promise<Buffer> {
  const configuration = Buffer.from(
    JSON.stringify({ config: { Entrypoint: ["/go"] }, rootfs: { type: "layers", diff_ids: layers.map(digest) } }),
  );
  const entries = layers.map((layer, i): TarMember => ({ name: `${i}/layer.tar`, content: layer }));
  // As docker does for a layer that occurs twice.
  entries.push({ name: "again/layer.tar", type: "symlink", linkname: "../0/layer.tar" });
  const manifest = [
    { Config: "config.json", RepoTags: [name], Layers: ["again/layer.tar", ...layers.slice(1).map((_, i) => `${i + 1}/layer.tar`)] },
  ];
  return await tar(
    ...entries,
    { name: "config.json", content: configuration },
    { name: "manifest.json", content: JSON.stringify(manifest) },
  );
}

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "tessera-images-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function openStore(folder: string): Promise<LocalImageStore> {
  const library = new NativeLibrary({ nativeDir, cgroupRoot: "tessera-image-test" });
  return await LocalImageStore.open({ folder: join(folder, "images"), files: new NativeHostFiles({ library }), architecture: "amd64" });
}

const load = (store: LocalImageStore, archive: Buffer) => store.load(Readable.from([archive]), never);

function refusal(reason: StatusReason, message: RegExp) {
  return (error: { reason?: string; message: string }) => {
    assert.equal(error.reason, reason, error.message);
    assert.match(error.message, message);
    return true;
  };
}

for (const [kind, compress] of [
  ["gzip", gzipSync],
  ["zstd", zstdCompressSync],
  ["no compression", (layer: Buffer) => layer],
] as const) {
  test(`an OCI archive with ${kind} becomes an image that a new process finds again`, async (t) => {
    const folder = temporaryFolder(t);
    const layer = await tar({ name: "etc/", type: "directory", mode: 0o755 }, { name: "etc/hello", content: "hi", mode: 0o4755 });
    const store = await openStore(folder);
    assert.deepEqual(await load(store, await ociArchive([layer], { compress })), ["docker.io/library/app:1"]);
    for (const opened of [store, await openStore(folder)]) {
      const image = await opened.resolve("app:1");
      assert.ok(image);
      assert.deepEqual(image.config.cmd, ["run"]);
      assert.deepEqual(image.names, ["docker.io/library/app:1"]);
      const [lower] = await opened.prepareRootfs(image);
      assert.ok(lower);
      assert.equal(readFileSync(join(lower, "etc/hello"), "utf8"), "hi");
      assert.equal(statSync(join(lower, "etc/hello")).mode & 0o7777, 0o4755);
      assert.equal((await opened.resolve(image.digests[0] ?? ""))?.id, image.id);
      assert.equal((await opened.resolve(image.id))?.id, image.id);
    }
    assert.equal(await store.resolve("app:2"), undefined);
    assert.deepEqual(readdirSync(join(folder, "images/staging")), []);
  });
}

test("a docker save archive with a linked layer becomes an image; its layers are shared with other images", async (t) => {
  const store = await openStore(temporaryFolder(t));
  const shared = await tar({ name: "shared", content: "s" });
  const own = await tar({ name: "own", content: "o" });
  await load(store, await dockerArchive([shared, own], "localhost/one:1"));
  await load(store, await ociArchive([shared], { name: "localhost/two:1" }));
  const [one, two] = [await store.resolve("localhost/one:1"), await store.resolve("localhost/two:1")];
  assert.ok(one && two);
  assert.deepEqual(one.config.entrypoint, ["/go"]);
  const lower = await store.prepareRootfs(one);
  assert.deepEqual(
    lower.map((path) => readdirSync(path)),
    [["own"], ["shared"]],
    "topmost first",
  );
  assert.equal((await store.prepareRootfs(two))[0], lower[1]);
});

test("a name moves to the image that was loaded last", async (t) => {
  const store = await openStore(temporaryFolder(t));
  for (const content of ["first", "second"]) await load(store, await ociArchive([await tar({ name: "file", content })]));
  const image = await store.resolve("app:1");
  assert.ok(image);
  assert.equal(readFileSync(join((await store.prepareRootfs(image))[0] ?? "", "file"), "utf8"), "second");
  const names = (await store.list()).map((each) => each.names);
  assert.deepEqual(names.sort(), [[], ["docker.io/library/app:1"]], "the first is there without a name until it is collected");
});

test("whiteouts hide names of lower layers, opaque folders all of them", async (t) => {
  const store = await openStore(temporaryFolder(t));
  await load(
    store,
    await ociArchive([
      await tar({ name: "d/", type: "directory" }, { name: "d/.wh.hidden" }, { name: "o/", type: "directory" }, { name: "o/.wh..wh..opq" }),
    ]),
  );
  const image = await store.resolve("app:1");
  assert.ok(image);
  const [lower] = await store.prepareRootfs(image);
  assert.ok(lower);
  const hidden = lstatSync(join(lower, "d/hidden"));
  assert.ok(hidden.isCharacterDevice());
  assert.equal(hidden.rdev, 0);
  assert.deepEqual(readdirSync(join(lower, "o")), []);
});

const hostile: readonly [what: string, entries: readonly TarMember[], message: RegExp][] = [
  ["a name that climbs out", [{ name: "../outside", content: "x" }], /climbs out of the layer/],
  ["a name that climbs out in its middle", [{ name: "a/../../outside", content: "x" }], /climbs out of the layer/],
  ["an absolute name", [{ name: "/outside", content: "x" }], /absolute name/],
  ["a hard link to the outside", [{ name: "link", type: "link", linkname: "../../outside" }], /climbs out of the layer/],
];

for (const [what, entries, message] of hostile) {
  test(`a layer with ${what} is refused and nothing of it is kept`, async (t) => {
    const folder = temporaryFolder(t);
    const store = await openStore(folder);
    await assert.rejects(load(store, await ociArchive([await tar(...entries)])), refusal("Invalid", message));
    assert.deepEqual(await store.list(), []);
    assert.deepEqual(readdirSync(join(folder, "images/layers")), []);
    assert.deepEqual(readdirSync(join(folder, "images/staging")), []);
    assert.ok(!existsSync(join(folder, "outside")));
  });
}

test("a file written through a symlink of the same layer stays inside the layer", async (t) => {
  const folder = temporaryFolder(t);
  const store = await openStore(folder);
  writeFileSync(join(folder, "canary"), "untouched");
  const layer = await tar({ name: "link", type: "symlink", linkname: folder }, { name: "link/canary", content: "overwritten" });
  await load(store, await ociArchive([layer])).catch((error: Error) => assert.match(error.message, /link/));
  assert.equal(readFileSync(join(folder, "canary"), "utf8"), "untouched");
});

const broken: readonly [what: string, archive: () => Promise<Buffer>, message: RegExp][] = [
  ["random bytes", async () => Buffer.alloc(2048, 7), /not a tar archive|no image/],
  ["an empty archive", async () => await tar(), /holds no image/],
  [
    "a blob with other content than its digest says",
    async () =>
      await ociArchive([await tar({ name: "f", content: "x" })], {
        spoil: (entries) => entries.push({ name: entries.pop()?.name ?? "", content: "spoilt" }),
      }),
    /digest mismatch/,
  ],
  [
    "a blob that is missing",
    async () => await ociArchive([await tar({ name: "f" })], { spoil: (entries) => entries.pop() }),
    /has no member "blobs\/sha256/,
  ],
  [
    "a layer that is no tar",
    async () => await ociArchive([Buffer.from("not a tar archive at all, but long enough to be looked at")]),
    /ends in the middle/,
  ],
];

for (const [what, archive, message] of broken) {
  test(`${what} is refused with a reason`, async (t) => {
    const store = await openStore(temporaryFolder(t));
    await assert.rejects(load(store, await archive()), refusal("Invalid", message));
    assert.deepEqual(await store.list(), []);
  });
}

test("what a crash left half done is cleared at the next start", async (t) => {
  const folder = temporaryFolder(t);
  await openStore(folder);
  writeFileSync(join(folder, "images/staging/load-7"), "half");
  await openStore(folder);
  assert.deepEqual(readdirSync(join(folder, "images/staging")), []);
});
