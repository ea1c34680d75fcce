import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { constants as fsConstants } from "node:fs";
import { chmod, lstat, mkdir, mkdtemp, open, readdir, readFile, readlink, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { LayerEntryAttributes, LayerWriter } from "./host-files.ts";
import { NativeHostFiles } from "./native-host-files.ts";
import { NativeLibrary } from "./native-library.ts";

const nativeDir = fileURLToPath(new URL("../../dist", import.meta.url));
const packageRoot = fileURLToPath(new URL("..", import.meta.url));
const run = promisify(execFile);
const { ENOENT, EINVAL, EXDEV, ENAMETOOLONG, ENOTDIR, ELOOP } = constants.errno;

const plain: LayerEntryAttributes = { mode: 0o644, uid: 0, gid: 0, mtime: 1_000_000_000, xattrs: {} };
const folderLike: LayerEntryAttributes = { ...plain, mode: 0o755 };

describe("NativeHostFiles", () => {
  let folder: string;
  let root: string;
  let canary: string;
  let library: NativeLibrary;
  let files: NativeHostFiles;
  let layer: LayerWriter;

  before(() => {
    library = new NativeLibrary({ nativeDir, cgroupRoot: "unused" });
    files = new NativeHostFiles({ library });
  });
  after(() => library.close());

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "tessera-files-"));
    root = join(folder, "layer");
    canary = join(folder, "canary");
    await mkdir(root);
    await mkdir(join(folder, "outside"));
    await writeFile(canary, "untouched", { mode: 0o640 });
    layer = files.openLayer(root);
  });
  afterEach(async () => {
    assert.equal(await readFile(canary, "utf8"), "untouched");
    assert.equal((await stat(canary)).nlink, 1);
    assert.equal((await stat(canary)).mode & 0o7777, 0o640);
    assert.deepEqual(await readdir(join(folder, "outside")), []);
    await rm(folder, { recursive: true });
  });

  const writeEntry = async (path: string, content: string, attributes = plain) => {
    const fd = await layer.file(path, attributes);
    await writeFile(`/proc/self/fd/${fd}`, content);
    await layer.finishFile(path, fd, attributes);
  };
  const inRoot = (path: string) => readFile(join(root, path), "utf8");

  describe("a layer", () => {
    test("gets every kind of entry with its attributes, and the folders it left out", async () => {
      await layer.directory("bin", { ...folderLike, mode: 0o1777, uid: 3, gid: 4 });
      await writeEntry("bin/su", "program", { ...plain, mode: 0o4755, uid: 0, gid: 5, mtime: 1_234_567_890.5 });
      await layer.symlink("bin/sh", "/bin/su", { ...plain, uid: 7, gid: 8 });
      await layer.hardlink("bin/doas", "bin/su");
      await layer.device("dev/null", "char", 1, 3, { ...plain, mode: 0o666 });
      await layer.device("dev/sda", "block", 8, 0, plain);
      await layer.device("run/pipe", "fifo", 0, 0, plain);
      await writeEntry("not/announced/before/file", "deep");
      await layer.finish();

      const su = await lstat(join(root, "bin/su"));
      assert.equal(su.mode & 0o7777, 0o4755);
      assert.deepEqual([su.uid, su.gid, su.nlink, su.mtimeMs], [0, 5, 2, 1_234_567_890_500]);
      assert.equal(await inRoot("bin/doas"), "program");
      const bin = await lstat(join(root, "bin"));
      assert.deepEqual([bin.mode & 0o7777, bin.uid, bin.gid, bin.mtimeMs], [0o1777, 3, 4, 1e12]);
      assert.equal(await readlink(join(root, "bin/sh")), "/bin/su");
      assert.deepEqual([(await lstat(join(root, "bin/sh"))).uid, (await lstat(join(root, "bin/sh"))).mtimeMs], [7, 1e12]);
      const device = await lstat(join(root, "dev/null"));
      assert.ok(device.isCharacterDevice());
      assert.deepEqual([device.rdev, device.mode & 0o7777], [0x103, 0o666]);
      assert.ok((await lstat(join(root, "dev/sda"))).isBlockDevice());
      assert.ok((await lstat(join(root, "run/pipe"))).isFIFO());
      assert.equal(await inRoot("not/announced/before/file"), "deep");
      assert.equal((await lstat(join(root, "not/announced"))).mode & 0o7777, 0o755);
    });

    test("keeps file capabilities, which writing the content takes away", async () => {
      // CAP_NET_RAW, permitted and effective, revision 2.
      const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
      await writeEntry("ping", "program", { ...plain, xattrs: { "security.capability": capability } });
      await run("make", ["-s", "-C", packageRoot, "probes"]);
      const { stdout } = await run(join(packageRoot, "build/probe/xattr"), [join(root, "ping"), "security.capability"]);
      assert.equal(stdout.trim(), capability.toString("hex"));
    });

    test("hides what lies below by devices and by opaque folders", async () => {
      await layer.whiteout("etc/gone");
      await layer.opaque("etc/emptied");
      const gone = await lstat(join(root, "etc/gone"));
      assert.ok(gone.isCharacterDevice());
      assert.equal(gone.rdev, 0);
      // overlayfs itself is the judge.
      for (const name of ["lower/etc/emptied", "mount"]) await mkdir(join(folder, name), { recursive: true });
      for (const name of ["gone", "stays", "emptied/inner"]) await writeFile(join(folder, "lower/etc", name), "below");
      await run("mount", ["-t", "overlay", "overlay", "-o", `lowerdir=${root}:${join(folder, "lower")}`, join(folder, "mount")]);
      try {
        assert.deepEqual(await readdir(join(folder, "mount/etc")), ["emptied", "stays"]);
        assert.deepEqual(await readdir(join(folder, "mount/etc/emptied")), []);
      } finally {
        await run("umount", [join(folder, "mount")]);
      }
    });

    test("replaces what it has already, of whatever kind, and never writes through it", async () => {
      await symlink(canary, join(root, "link"));
      await writeEntry("link", "own file");
      assert.equal(await inRoot("link"), "own file");

      await symlink(join(folder, "outside"), join(root, "folder"));
      await layer.directory("folder", folderLike);
      await writeEntry("folder/file", "inside");
      assert.equal(await inRoot("folder/file"), "inside");

      await layer.symlink("folder", "elsewhere", plain);
      assert.equal(await readlink(join(root, "folder")), "elsewhere");
      await writeEntry("twice", "first");
      await layer.hardlink("other", "twice");
      await writeEntry("twice", "second");
      assert.equal(await inRoot("other"), "first");
      await layer.directory("twice", folderLike);
      await layer.whiteout("twice");
      await layer.hardlink("other", "other");
      assert.equal(await inRoot("other"), "first");
    });

    test("an existing folder stays with its content and gets the new attributes", async () => {
      await writeEntry("kept/file", "content");
      await layer.directory("kept", { ...folderLike, mode: 0o700, uid: 9 });
      assert.equal(await inRoot("kept/file"), "content");
      assert.deepEqual([(await lstat(join(root, "kept"))).mode & 0o7777, (await lstat(join(root, "kept"))).uid], [0o700, 9]);
      await layer.directory(".", { ...folderLike, mode: 0o711 });
      assert.equal((await lstat(root)).mode & 0o7777, 0o711);
    });

    test("links to the outside lead inside", async () => {
      await layer.symlink("absolute", canary, plain);
      await layer.symlink("climbing", "../../../../../../..", plain);
      await layer.symlink("lib", "usr/lib", plain);
      await layer.symlink("opt", "/usr/opt", plain);
      await writeEntry("climbing/tmp/new", "one");
      await writeEntry("lib/so", "two");
      await writeEntry("opt/deep/er/file", "three");
      assert.equal(await inRoot("tmp/new"), "one");
      assert.equal(await inRoot("usr/lib/so"), "two");
      assert.equal(await inRoot("usr/opt/deep/er/file"), "three");
      assert.ok((await lstat(join(root, "lib"))).isSymbolicLink());
      // The canary's own path, below the root.
      await writeEntry("absolute/file", "four");
      assert.equal(await inRoot(`${canary}/file`), "four");
    });

    const absent = { step: "find target of hard link" };
    const refusals: [what: string, attempt: () => Promise<unknown>, expected: object][] = [
      ["climbing", () => writeEntry("../canary", "x"), { reason: "InvalidArgument", step: "resolve layer entry" }],
      ["climbing later", () => writeEntry("a/../../canary", "x"), { errno: EINVAL }],
      ["the parent itself", () => layer.directory("..", folderLike), { errno: EINVAL }],
      ["a final dot", () => layer.directory("a/.", folderLike), { errno: EINVAL }],
      ["a NUL", () => writeEntry("a\0b", "x"), { reason: "InvalidArgument", message: /NUL/ }],
      ["a NUL in a target", () => layer.symlink("a", "b\0c", plain), { message: /NUL/ }],
      ["a long name", () => writeEntry("n".repeat(256), "x"), { errno: ENAMETOOLONG }],
      ["a long path", () => writeEntry("n/".repeat(2100), "x"), { errno: ENAMETOOLONG }],
      ["a hard link out", () => layer.hardlink("stolen", "../canary"), { ...absent, errno: EINVAL }],
      ["a hard link by absolute name", () => layer.hardlink("stolen", canary), { ...absent, errno: ENOENT }],
      ["a hard link to nothing", () => layer.hardlink("stolen", "nothing"), { ...absent, errno: ENOENT }],
      ["a hard link to the root", () => layer.hardlink("stolen", "."), absent],
      ["the root as a file", () => layer.file(".", plain), { step: "replace layer entry" }],
      ["a file as a folder", () => writeEntry("file/inner", "x"), { errno: ENOTDIR }],
      ["a loop of links", () => writeEntry("loop/inner", "x"), { errno: ELOOP }],
      ["a link that needs itself", () => writeEntry("self/inner", "x"), { errno: ELOOP }],
      [
        "overlayfs' own attributes",
        () => writeEntry("a", "x", { ...plain, xattrs: { "trusted.overlay.redirect": Buffer.from("/") } }),
        { reason: "InvalidArgument", message: /trusted\.overlay\.redirect/ },
      ],
    ];
    for (const [what, attempt, expected] of refusals)
      test(`refuses ${what}`, async () => {
        await writeEntry("file", "plain");
        await layer.symlink("loop", "loop2", plain);
        await layer.symlink("loop2", "loop", plain);
        await layer.symlink("self", "self/deeper", plain);
        await assert.rejects(attempt, expected);
      });

    test("a hard link through a link to the outside finds nothing there", async () => {
      await layer.symlink("out", folder, plain);
      await assert.rejects(layer.hardlink("stolen", "out/canary"), { ...absent, errno: ENOENT });
      // A hard link to a link is one to the link, not to what it points to.
      await layer.symlink("pointer", canary, plain);
      await layer.hardlink("same", "pointer");
      assert.ok((await lstat(join(root, "same"))).isSymbolicLink());
    });
  });

  describe("makeFolder", () => {
    const modeOf = async (path: string) => (await lstat(path)).mode;

    test("makes the folder and all in it with their modes, whatever the umask", async () => {
      const path = join(folder, "made");
      const umask = process.umask(0o077);
      try {
        await files.makeFolder(path, 0o750, { upper: { type: "folder", mode: 0o1777 }, log: { type: "file", mode: 0o666 } });
      } finally {
        process.umask(umask);
      }
      const { S_IFDIR, S_IFREG } = fsConstants;
      assert.equal(await modeOf(path), S_IFDIR | 0o750);
      assert.equal(await modeOf(join(path, "upper")), S_IFDIR | 0o1777);
      assert.equal(await modeOf(join(path, "log")), S_IFREG | 0o666);
      assert.deepEqual((await readdir(path)).sort(), ["log", "upper"]);
    });

    test("what is there already is not touched, and nothing is made beside the folder", async () => {
      const path = join(folder, "made");
      await mkdir(path);
      await assert.rejects(files.makeFolder(path, 0o755, { a: { type: "file", mode: 0o600 } }), {
        reason: "AlreadyExists",
        step: "make folder",
      });
      assert.deepEqual(await readdir(path), []);
      for (const name of ["", ".", "..", "a/b", "../a"])
        await assert.rejects(files.makeFolder(join(folder, "other"), 0o755, { [name]: { type: "file", mode: 0o600 } }), {
          reason: "InvalidArgument",
        });
      await assert.rejects(lstat(join(folder, "other")), { code: "ENOENT" });
    });
  });

  describe("removeTree", () => {
    test("removes what a container may leave, follows no link, and is right twice", async () => {
      const tree = join(folder, "tree");
      await mkdir(join(tree, "a/b/c"), { recursive: true });
      await symlink(folder, join(tree, "a/up"));
      await symlink(canary, join(tree, "canary"));
      await run("mkfifo", [join(tree, "fifo")]);
      await mkdir(join(tree, "closed/inner"), { recursive: true });
      await chmod(join(tree, "closed"), 0);
      for (let i = 0; i < 5000; i++) await (await open(join(tree, `a/b/${i}`), "w")).close();
      await files.removeTree(tree);
      await assert.rejects(lstat(tree), { code: "ENOENT" });
      await files.removeTree(tree);
      await files.removeTree(join(folder, "never/existed"));
    });

    test("a link is removed, not what it points to; a file goes as well", async () => {
      await symlink(join(folder, "outside"), join(folder, "link"));
      await writeFile(join(folder, "outside/kept"), "");
      await files.removeTree(join(folder, "link"));
      assert.deepEqual(await readdir(join(folder, "outside")), ["kept"]);
      await files.removeTree(join(folder, "outside/kept"));
      await assert.rejects(files.removeTree("relative"), { reason: "InvalidArgument" });
      await assert.rejects(files.removeTree("/"), { reason: "InvalidArgument" });
    });

    test("depth beyond descriptors and path lengths is no obstacle", async () => {
      // No path reaches the innermost folder: chains are hung below one another.
      const tree = join(folder, "tree");
      await mkdir(tree);
      for (let i = 0; i < 8; i++) {
        const chain = join(folder, "chain");
        const innermost = join(chain, "d/".repeat(300));
        await mkdir(innermost, { recursive: true });
        await rename(tree, join(innermost, "next"));
        await rename(chain, tree);
      }
      await files.removeTree(tree);
      await assert.rejects(lstat(tree), { code: "ENOENT" });
    });

    test("stops at a mount", async () => {
      const tree = join(folder, "tree");
      await mkdir(join(tree, "mounted"), { recursive: true });
      await files.mountTmpfs(join(tree, "mounted"), { mode: 0o755 });
      await writeFile(join(tree, "mounted/kept"), "");
      await assert.rejects(files.removeTree(tree), (error: { errno: number }) => [EXDEV, constants.errno.EBUSY].includes(error.errno));
      assert.deepEqual(await readdir(join(tree, "mounted")), ["kept"]);
      await files.unmountBelow(tree);
      await files.removeTree(tree);
    });
  });

  describe("mounts", () => {
    test("a tmpfs has its size and mode, and everything below a folder is unmounted, however stacked and named", async () => {
      const mounted = join(folder, "with space\\and\tmore");
      await mkdir(mounted);
      await mkdir(`${mounted}-sibling`);
      await files.mountTmpfs(mounted, { sizeBytes: 1024 * 1024, mode: 0o1777 });
      await files.mountTmpfs(`${mounted}-sibling`, { mode: 0o755 });
      assert.equal((await stat(mounted)).mode & 0o7777, 0o1777);
      await assert.rejects(writeFile(join(mounted, "large"), Buffer.alloc(2 * 1024 * 1024)), { code: "ENOSPC" });
      await mkdir(join(mounted, "inner"));
      await files.mountTmpfs(join(mounted, "inner"), { mode: 0o755 });
      await files.mountTmpfs(mounted, { mode: 0o700 });
      await files.unmountBelow(mounted);
      const left = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").filter((line) => line.includes(folder));
      assert.equal(left.length, 1);
      assert.match(left[0] ?? "", /-sibling/);
      await files.unmountBelow(folder);
      await files.unmountBelow(join(folder, "absent"));
      await assert.rejects(files.unmountBelow("/"), { reason: "InvalidArgument" });
    });

    test("a tmpfs is not mounted through a link", async () => {
      await symlink(join(folder, "outside"), join(folder, "link"));
      await assert.rejects(files.mountTmpfs(join(folder, "link"), { mode: 0o755 }), { step: "open folder to mount on" });
    });
  });
});
