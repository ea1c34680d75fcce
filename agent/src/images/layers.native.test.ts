import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import test, { before, type TestContext } from "node:test";
import { promisify } from "node:util";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { NativeHostFiles, NativeLibrary } from "@tessera/runtime-native";
import { unpackLayer } from "./layers.ts";
import { endOfTar, paxHeader, rawEntry, type TarMember, tar } from "./testing/tar-bytes.ts";

const run = promisify(execFile);
const root = resolve(import.meta.dirname, "../../..");
const readXattr = join(root, "runtime-native/build/probe/xattr");
const limits = { maxEntries: 1000, maxBytes: 16 << 20 };
const never = new AbortController().signal;

before(() => run("make", ["-s", "-C", join(root, "runtime-native"), "probes"]));

interface UnpackRequest {
  readonly limits?: typeof limits;
  readonly compress?: (layer: Buffer) => Buffer;
  readonly diffId?: string;
}

async function unpack(t: TestContext, layer: Buffer, request: UnpackRequest = {}): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "tessera-layer-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const into = join(folder, "layer");
  mkdirSync(into);
  const blobPath = join(folder, "blob");
  writeFileSync(blobPath, request.compress?.(layer) ?? layer);
  const files = new NativeHostFiles({ library: new NativeLibrary({ nativeDir: join(root, "dist"), cgroupRoot: "tessera-layer-test" }) });
  const diffId = request.diffId ?? `sha256:${createHash("sha256").update(layer).digest("hex")}`;
  await unpackLayer({ blobPath, diffId }, { root: into, writer: files.openLayer(into), limits: request.limits ?? limits, signal: never });
  return into;
}

const opaque = async (path: string) =>
  (await run(readXattr, [path, "trusted.overlay.opaque"]).then(
    (out) => out.stdout.trim(),
    () => "",
  )) !== "";

/** Every path with all that matters of it: "type mode uid:gid", then content, target or device; "opaque" for folders that are. */
async function treeOf(folder: string, below = ""): Promise<Record<string, string>> {
  const tree: Record<string, string> = {};
  for (const name of readdirSync(join(folder, below)).sort()) {
    const path = join(below, name);
    const found = lstatSync(join(folder, path));
    const attributes = `${(found.mode & 0o7777).toString(8)} ${found.uid}:${found.gid}`;
    const device = `${found.rdev >> 8}:${found.rdev & 0xff}`;
    if (found.isDirectory()) {
      tree[path] = `folder ${attributes}${(await opaque(join(folder, path))) ? " opaque" : ""}`;
      Object.assign(tree, await treeOf(folder, path));
    } else if (found.isSymbolicLink()) tree[path] = `symlink ${readlinkSync(join(folder, path))}`;
    else if (found.isCharacterDevice()) tree[path] = found.rdev === 0 ? "whiteout" : `char ${device} ${attributes}`;
    else if (found.isBlockDevice()) tree[path] = `block ${device} ${attributes}`;
    else if (found.isFIFO()) tree[path] = `fifo ${attributes}`;
    else tree[path] = `file ${attributes} ${JSON.stringify(readFileSync(join(folder, path), "utf8"))}`;
  }
  return tree;
}

const trees: readonly [says: string, members: readonly TarMember[], tree: Record<string, string>][] = [
  [
    "owners, modes with setuid and sticky bits, devices and pipes",
    [
      { name: "tmp/", type: "directory", mode: 0o1777 },
      { name: "bin/", type: "directory", mode: 0o2755, uid: 5, gid: 6 },
      { name: "bin/su", mode: 0o4755, uid: 1000, gid: 1001, content: "x" },
      { name: "null", type: "character-device", devmajor: 1, devminor: 3, mode: 0o666 },
      { name: "disk", type: "block-device", devmajor: 8, devminor: 1, mode: 0o660, gid: 6 },
      { name: "pipe", type: "fifo", mode: 0o600 },
      { name: "link", type: "symlink", linkname: "../outside/bin/su" },
    ],
    {
      tmp: "folder 1777 0:0",
      bin: "folder 2755 5:6",
      "bin/su": 'file 4755 1000:1001 "x"',
      null: "char 1:3 666 0:0",
      disk: "block 8:1 660 0:6",
      pipe: "fifo 600 0:0",
      link: "symlink ../outside/bin/su",
    },
  ],
  [
    "of entries with the same name the last, a folder keeping what is in it",
    [
      { name: "a", content: "first" },
      { name: "a", content: "second" },
      { name: "d/", type: "directory", mode: 0o700 },
      { name: "d/kept", content: "k" },
      { name: "d/", type: "directory", mode: 0o755 },
      { name: "was-folder/", type: "directory" },
      { name: "was-folder/x", content: "x" },
      { name: "was-folder", content: "now a file" },
      { name: "was-link", type: "symlink", linkname: "a" },
      { name: "was-link", content: "not through the link" },
    ],
    {
      a: 'file 644 0:0 "second"',
      d: "folder 755 0:0",
      "d/kept": 'file 644 0:0 "k"',
      "was-folder": 'file 644 0:0 "now a file"',
      "was-link": 'file 644 0:0 "not through the link"',
    },
  ],
  [
    "whiteouts as devices, opaque folders as such, aufs' bookkeeping not at all",
    [
      { name: "d/", type: "directory" },
      { name: "d/.wh.gone" },
      { name: "d/.wh..wh.plnk/", type: "directory" },
      { name: "d/.wh..wh.plnk/1.2" },
      { name: ".wh..wh.aufs" },
      { name: "o/", type: "directory" },
      { name: "o/new", content: "n" },
      { name: "o/.wh..wh..opq" },
      { name: "early/.wh..wh..opq" },
      { name: "early/", type: "directory", mode: 0o700 },
    ],
    {
      d: "folder 755 0:0",
      "d/gone": "whiteout",
      early: "folder 700 0:0 opaque",
      o: "folder 755 0:0 opaque",
      "o/new": 'file 644 0:0 "n"',
    },
  ],
  [
    "no whiteout in place of the layer's own entries, before or after it",
    [
      { name: "before", content: "b" },
      { name: ".wh.before" },
      { name: ".wh.after" },
      { name: "after", content: "a" },
      { name: "folder/", type: "directory" },
      { name: "folder/new", content: "n" },
      { name: ".wh.folder" },
    ],
    {
      after: 'file 644 0:0 "a"',
      before: 'file 644 0:0 "b"',
      folder: "folder 755 0:0 opaque",
      "folder/new": 'file 644 0:0 "n"',
    },
  ],
  [
    "a name through a symlink at its place inside the layer",
    [
      { name: "lib", type: "symlink", linkname: "/usr/lib" },
      { name: "lib/module", content: "m" },
    ],
    { lib: "symlink /usr/lib", usr: "folder 755 0:0", "usr/lib": "folder 755 0:0", "usr/lib/module": 'file 644 0:0 "m"' },
  ],
];

for (const [says, members, tree] of trees) {
  test(`a layer unpacks to ${says}`, async (t) => {
    const actual = await treeOf(await unpack(t, await tar(...members)));
    assert.deepEqual(Object.fromEntries(Object.entries(actual).sort()), Object.fromEntries(Object.entries(tree).sort()));
  });
}

test("hard links of a layer are one file, and keep being so when the name of one is taken", async (t) => {
  const layer = await unpack(
    t,
    await tar(
      { name: "one", content: "same", mode: 0o4711 },
      { name: "folder/two", type: "link", linkname: "one" },
      { name: "./three", type: "link", linkname: "./folder/two" },
      { name: "one", content: "other" },
    ),
  );
  assert.equal(lstatSync(join(layer, "folder/two")).ino, lstatSync(join(layer, "three")).ino);
  assert.equal(lstatSync(join(layer, "three")).mode & 0o7777, 0o4711);
  assert.equal(readFileSync(join(layer, "three"), "utf8"), "same");
  assert.equal(readFileSync(join(layer, "one"), "utf8"), "other");
});

test("times are kept, of files after their content and of folders after their entries", async (t) => {
  const mtime = new Date("2001-02-03T04:05:06Z");
  const layer = await unpack(t, await tar({ name: "d/", type: "directory", mtime }, { name: "d/f", content: "x".repeat(100_000), mtime }));
  assert.equal(lstatSync(join(layer, "d")).mtime.getTime(), mtime.getTime());
  assert.equal(lstatSync(join(layer, "d/f")).mtime.getTime(), mtime.getTime());
});

test("a file capability with bytes that are no text arrives in the kernel as it was", async (t) => {
  // Version 2, effective; permitted: the bits of 0x00ff80c0.
  const capability = Buffer.from("01000002c080ff00000000000000000000000000", "hex");
  const layer = await unpack(
    t,
    Buffer.concat([
      paxHeader({
        "SCHILY.xattr.security.capability": capability,
        "SCHILY.xattr.user.raw": Buffer.from("ff00fe", "hex"),
        "SCHILY.xattr.trusted.overlay.redirect": "/elsewhere",
        "SCHILY.xattr.user.overlay.opaque": "y",
      }),
      rawEntry({ name: "ping", content: Buffer.from("program") }),
      endOfTar,
    ]),
  );
  const value = async (name: string) => (await run(readXattr, [join(layer, "ping"), name])).stdout.trim();
  assert.equal(await value("security.capability"), capability.toString("hex"));
  assert.equal(await value("user.raw"), "ff00fe");
  await assert.rejects(value("trusted.overlay.redirect"));
  await assert.rejects(value("user.overlay.opaque"));
});

const hostile: readonly [says: string, members: readonly TarMember[], message: RegExp][] = [
  ["a name that climbs out", [{ name: "../outside" }], /climbs out of the layer/],
  ["an absolute name", [{ name: "/outside" }], /absolute name/],
  ["a whiteout of the parent", [{ name: "d/.wh..." }], /hides no file/],
  ["a whiteout of the folder itself", [{ name: "d/.wh.." }], /hides no file/],
  ["a whiteout of nothing", [{ name: "d/.wh." }], /hides no file/],
  ["an entry below a whiteout", [{ name: ".wh.d/file" }], /below the mark of a hidden name/],
  ["an opaque root", [{ name: ".wh..wh..opq" }], /hides all layers below/],
  ["a whiteout below its own symlink", [{ name: "l", type: "symlink", linkname: "/" }, { name: "l/.wh.etc" }], /"l" is no folder/],
  ["a hard link to a lower layer's file", [{ name: "l", type: "link", linkname: "absent" }], /find target of hard link: absent/],
  [
    "a hard link through a symlink to the outside",
    [
      { name: "s", type: "symlink", linkname: "/etc" },
      { name: "l", type: "link", linkname: "s/passwd" },
    ],
    /find target of hard link/,
  ],
  [
    "a hard link to a folder",
    [
      { name: "d/", type: "directory" },
      { name: "l", type: "link", linkname: "d" },
    ],
    /hard link/,
  ],
  [
    "symlinks in a circle",
    [{ name: "a", type: "symlink", linkname: "b" }, { name: "b", type: "symlink", linkname: "a" }, { name: "a/f" }],
    /a\/f/,
  ],
  ["a path of 4,096 bytes", [{ name: `${"d".repeat(200)}/`.repeat(20) + "e".repeat(76) }], /4096 bytes long/],
  ["a name of 256 bytes", [{ name: "n".repeat(256) }], /256 bytes long/],
];

for (const [says, members, message] of hostile) {
  test(`a layer with ${says} is refused`, async (t) => {
    await assert.rejects(unpack(t, await tar(...members)), (error: { reason?: string; message: string }) => {
      assert.equal(error.reason, "Invalid", error.message);
      assert.match(error.message, /^layer sha256:/);
      assert.match(error.message, message);
      return true;
    });
  });
}

test("names at the kernel's limits are taken", async (t) => {
  const path = `${"d".repeat(199)}/`.repeat(20) + "e".repeat(95);
  const layer = await unpack(t, await tar({ name: "n".repeat(255), content: "x" }, { name: path }));
  assert.equal(path.length, 4095);
  assert.ok(lstatSync(join(layer, "n".repeat(255))).isFile());
});

for (const [kind, compress] of [
  ["gzip", gzipSync],
  ["zstd", zstdCompressSync],
] as const) {
  test(`a ${kind} bomb stops at the limit`, async (t) => {
    const bomb = await tar({ name: "zeros", content: Buffer.alloc(32 << 20) });
    assert.ok(compress(bomb).length < 64 << 10);
    await assert.rejects(unpack(t, bomb, { compress }), /unpacks to more than 16777216 bytes/);
  });
}

test("a layer with more entries than the limit is refused", async (t) => {
  const members = Array.from({ length: 11 }, (_, i) => ({ name: `f${i}` }));
  await assert.rejects(unpack(t, await tar(...members), { limits: { ...limits, maxEntries: 10 } }), /more than 10 entries/);
});

test("a size that the archive does not have is found out", async (t) => {
  await assert.rejects(unpack(t, rawEntry({ name: "big", size: 2 ** 30, content: Buffer.from("small") })), /ends in the middle/);
});

test("other content than the configuration says is refused", async (t) => {
  await assert.rejects(unpack(t, await tar({ name: "f" }), { diffId: `sha256:${"0".repeat(64)}` }), /layer digest mismatch/);
});
