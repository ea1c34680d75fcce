import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Node } from "./native-runtime-fixture.ts";
import { type ContainerSpec, type Mount, RuntimeError } from "./runtime.ts";

const node = new Node();
const runtime = node.agent();
const signal = AbortSignal.timeout(600_000);
const pod = node.sandbox();
let count = 0;

before(async () => {
  await runtime.createSandbox(pod, signal);
});
after(async () => {
  await runtime.removeSandbox(pod.id);
  await node.close();
});

function folder(...names: string[]): string {
  const path = join(node.folder, "host", `${++count}`, ...names);
  mkdirSync(path, { recursive: true });
  return path;
}

function volume(source: string, destination: string): Mount {
  return { type: "imageVolume", source, destination, readOnly: false, recursive: true, propagation: "private" };
}

/** Runs a script in an image with one more layer. */
async function run(layer: string, script: string, mounts: Mount[], rootfs: Partial<ContainerSpec["rootfs"]> = {}): Promise<string> {
  const id = `c${++count}`;
  const spec = node.container(id, script, { mounts });
  const whole = { ...spec, rootfs: { ...spec.rootfs, lower: [layer, node.image], ...rootfs } };
  await runtime.startContainer(pod.id, whole, signal);
  await node.exit(id);
  await runtime.removeContainer(pod.id, id);
  return node.output(id);
}

describe("a volume that the image declares", () => {
  test("begins with what the image has there, entry for entry, and is writable in a read-only root", async () => {
    const layer = folder();
    mkdirSync(join(layer, "data/sub/deep"), { recursive: true });
    writeFileSync(join(layer, "data/file"), "content\n");
    writeFileSync(join(layer, "data/sub/deep/tool"), "x");
    symlinkSync("../outside", join(layer, "data/sub/link"));
    chownSync(join(layer, "data/sub/deep/tool"), 1000, 2000);
    chmodSync(join(layer, "data/sub/deep/tool"), 0o4755);
    chmodSync(join(layer, "data/sub"), 0o1777);
    chownSync(join(layer, "data"), 1000, 1000);
    chmodSync(join(layer, "data"), 0o2750);
    utimesSync(join(layer, "data/file"), 1_000_000, 1_000_000);
    const source = folder();
    const script = "cat /data/file; echo new > /data/new; echo x > /outside; grep -c ' /data ' /proc/mounts";
    assert.equal(await run(layer, script, [volume(source, "/data")], { readOnly: true }), "content\n1\n");
    const seen = (path: string) => {
      const { mode, uid, gid } = lstatSync(join(source, path));
      return [(mode & 0o7777).toString(8), uid, gid];
    };
    assert.deepEqual(seen("."), ["2750", 1000, 1000]);
    assert.deepEqual(seen("sub"), ["1777", 0, 0]);
    assert.deepEqual(seen("sub/deep/tool"), ["4755", 1000, 2000]);
    assert.equal(readlinkSync(join(source, "sub/link")), "../outside");
    assert.equal(lstatSync(join(source, "file")).mtimeMs, 1_000_000_000);
    assert.equal(readFileSync(join(source, "new"), "utf8"), "new\n");
    assert.equal(readFileSync(join(layer, "data/file"), "utf8"), "content\n");
  });

  test("is empty where the image has nothing", async () => {
    const source = folder();
    assert.equal(await run(folder(), "ls -A /made/here; stat -c %a /made/here", [volume(source, "/made/here")]), "755\n");
  });

  test("shows the image's own files and never the node's, whatever links say", async () => {
    const canary = folder("canary");
    writeFileSync(join(canary, "mark"), "canary");
    const layer = folder();
    symlinkSync("/", join(layer, "link"));
    symlinkSync(canary, join(layer, "absolute"));
    symlinkSync(`../../../../../..${canary}`, join(layer, "relative"));
    mkdirSync(join(layer, "own"));
    symlinkSync(join(canary, "mark"), join(layer, "own/mark"));
    const passwd = readFileSync(join(node.image, "etc/passwd"), "utf8");
    for (const [path, expected] of [
      ["/link/etc", ["passwd"]],
      ["/absolute", []],
      ["/relative", []],
      ["/own", ["mark"]],
    ] as const) {
      const source = folder();
      await run(layer, "true", [volume(source, path)]);
      assert.deepEqual(readdirSync(source), expected, path);
      if (path === "/link/etc") assert.equal(readFileSync(join(source, "passwd"), "utf8"), passwd);
      // A link is copied as a link.
      if (path === "/own") assert.equal(readlinkSync(join(source, "mark")), join(canary, "mark"));
    }
    assert.deepEqual(readdirSync(canary), ["mark"]);
  });

  test("is filled from the image, not from a volume of the pod that lies around it", async () => {
    const layer = folder();
    mkdirSync(join(layer, "outer/inner"), { recursive: true });
    writeFileSync(join(layer, "outer/inner/of-the-image"), "");
    const around = folder();
    mkdirSync(join(around, "inner"));
    writeFileSync(join(around, "inner/of-the-pod"), "");
    const bind: Mount = {
      type: "bind",
      source: around,
      destination: "/outer",
      readOnly: false,
      recursive: true,
      propagation: "private",
    };
    assert.equal(await run(layer, "ls /outer/inner", [bind, volume(folder(), "/outer/inner")]), "of-the-image\n");
  });

  test("cannot be in /proc, /sys or /dev, also not by a link, and not in place of a file", async () => {
    const layer = folder();
    symlinkSync("/proc/sys", join(layer, "to-proc"));
    symlinkSync("dev/shm", join(layer, "to-dev"));
    writeFileSync(join(layer, "file"), "");
    for (const [path, message] of [
      ["/proc", /\/proc leads into \/proc, \/sys or \/dev/],
      ["/sys/fs/cgroup", /\/sys\/fs\/cgroup leads into/],
      ["/dev/new", /\/dev\/new leads into/],
      ["/to-proc", /\/to-proc leads into/],
      ["/to-dev", /\/to-dev leads into/],
      ["/file", /make image volume: \/file: not a directory/i],
    ] as const)
      await assert.rejects(run(layer, "true", [volume(folder(), path)]), (error) => {
        assert.ok(error instanceof RuntimeError);
        assert.equal(error.reason, "InvalidArgument", error.message);
        assert.match(error.message, message);
        return true;
      });
  });
});
