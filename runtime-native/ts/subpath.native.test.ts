import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Node } from "./native-runtime-fixture.ts";
import { type Mount, RuntimeError } from "./runtime.ts";
import { rounds } from "./testing/patience.ts";

const packageRoot = join(import.meta.dirname, "..");
const node = new Node();
const runtime = node.agent();
const signal = AbortSignal.timeout(600_000);
const pod = node.sandbox();
let count = 0;

before(async () => {
  execFileSync("make", ["-s", "-C", packageRoot, "probes"]);
  await runtime.createSandbox(pod, signal);
});
after(async () => {
  await runtime.removeSandbox(pod.id);
  await node.close();
});

/** A volume of its own for each test, and beside it what no container may see. */
function volume(): { volume: string; canary: string } {
  const base = join(node.folder, "volumes", `${++count}`);
  for (const name of ["volume", "canary"]) mkdirSync(join(base, name), { recursive: true });
  writeFileSync(join(base, "canary/mark"), "canary\n");
  return { volume: join(base, "volume"), canary: join(base, "canary") };
}

function below(source: string, subPath: string, changes: Partial<Mount> = {}): Mount {
  return { type: "bind", source, subPath, destination: "/data", readOnly: false, recursive: true, propagation: "private", ...changes };
}

async function run(script: string, ...mounts: Mount[]): Promise<string> {
  const id = `c${++count}`;
  await runtime.startContainer(pod.id, node.container(id, script, { mounts }), signal);
  await node.exit(id);
  await runtime.removeContainer(pod.id, id);
  return node.output(id);
}

async function refused(mount: Mount, message: RegExp): Promise<void> {
  await assert.rejects(run("true", mount), (error) => {
    assert.ok(error instanceof RuntimeError);
    assert.equal(error.reason, "InvalidArgument", error.message);
    assert.match(error.message, message);
    return true;
  });
}

describe("a path below a volume", () => {
  test("a folder or a file of it is all that the container sees", async () => {
    const { volume: source } = volume();
    mkdirSync(join(source, "a/b"), { recursive: true });
    writeFileSync(join(source, "a/b/file"), "deep\n");
    writeFileSync(join(source, "secret"), "");
    assert.equal(await run("ls /data; echo new > /data/new", below(source, "a/b")), "file\n");
    assert.equal(readFileSync(join(source, "a/b/new"), "utf8"), "new\n");
    assert.equal(await run("cat /data; ls /", below(source, "./a//b/file")).then((text) => text.split("\n")[0]), "deep");
  });

  test("folders that are missing are made with the mode and the group of the volume", async () => {
    const { volume: source } = volume();
    chownSync(source, 0, 2000);
    chmodSync(source, 0o2770);
    assert.equal(await run("echo x > /data/file; stat -c '%a %g' /data", below(source, "new/er")), "2770 2000\n");
    for (const path of ["new", "new/er"]) {
      const { mode, uid, gid } = statSync(join(source, path));
      assert.deepEqual([mode & 0o7777, uid, gid], [0o2770, 0, 2000], path);
    }
  });

  test("links are followed inside the volume, as those of a ConfigMap's files are", async () => {
    const { volume: source } = volume();
    mkdirSync(join(source, "..gen"));
    mkdirSync(join(source, "deep"));
    writeFileSync(join(source, "..gen/key"), "value\n");
    symlinkSync("..gen", join(source, "..data"));
    symlinkSync("..data/key", join(source, "key"));
    symlinkSync("../..data", join(source, "deep/up"));
    assert.equal(await run("cat /data", below(source, "key")), "value\n");
    assert.equal(await run("cat /data/key", below(source, "deep/up")), "value\n");
    // A link in the middle of what is made.
    assert.equal(await run("echo made > /data/file", below(source, "deep/up/new")), "");
    assert.equal(readFileSync(join(source, "..gen/new/file"), "utf8"), "made\n");
  });

  test("a link that leads out is refused, and nothing is made where it leads", async () => {
    const { volume: source, canary } = volume();
    symlinkSync(canary, join(source, "absolute"));
    symlinkSync("../canary", join(source, "relative"));
    symlinkSync("/", join(source, "root"));
    symlinkSync("/proc/self/cwd", join(source, "magic"));
    symlinkSync("../canary/missing", join(source, "dangling"));
    symlinkSync("loop", join(source, "loop"));
    for (const name of ["absolute", "relative", "absolute/mark", "relative/mark", "relative/new", "root", "root/etc", "magic", "dangling"])
      await refused(below(source, name), new RegExp(`open subPath: ${name} leads out of the volume`));
    await refused(below(source, "loop"), /open subPath: loop: .*symbolic links/);
    assert.deepEqual(readdirSync(canary), ["mark"]);
  });

  test("a path that climbs, starts at the root or goes through a file is refused", async () => {
    const { volume: source } = volume();
    writeFileSync(join(source, "file"), "");
    for (const path of ["..", "../canary", "a/..", "a/../../canary", "/etc", ""]) await refused(below(source, path), /./);
    await refused(below(source, "file/below"), /open subPath: file\/below: not a directory/i);
    assert.deepEqual(readdirSync(source), ["file"]);
  });

  test("read-only stays read-only, also for what is mounted below it", async () => {
    const { volume: source } = volume();
    mkdirSync(join(source, "sub/inner"), { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "none", join(source, "sub/inner")]);
    try {
      const script = "echo x > /data/file; echo x > /data/inner/file; awk '$5 ~ /^.data/ {print $5, substr($6,1,2)}' /proc/self/mountinfo";
      assert.equal(await run(script, below(source, "sub", { readOnly: true })), "/data ro\n/data/inner ro\n");
      assert.deepEqual(readdirSync(join(source, "sub/inner")), []);
    } finally {
      execFileSync("umount", [join(source, "sub/inner")]);
    }
  });

  test("a container that exchanges a folder for a link meanwhile reaches nothing outside", async () => {
    const { volume: source, canary } = volume();
    mkdirSync(join(source, "place"));
    writeFileSync(join(source, "place/mark"), "inside\n");
    symlinkSync(canary, join(source, "link"));
    const tool = join(packageRoot, "build/probe/exchange");
    const swapper = node.container("swapper", ["/exchange", "/volume/place", "/volume/link"], {
      mounts: [
        { type: "bind", source, destination: "/volume", readOnly: false, recursive: true, propagation: "private" },
        { type: "bind", source: tool, destination: "/exchange", readOnly: true, recursive: false, propagation: "private" },
      ],
    });
    await runtime.startContainer(pod.id, swapper, signal);
    const seen = { inside: 0, refused: 0 };
    for (let round = 0; round < rounds(150); round++) {
      // Every second one makes a folder as well.
      const subPath = round % 2 === 0 ? "place" : `place/made-${round}`;
      try {
        const text = await run("cat /data/mark 2>/dev/null; ls /data", below(source, subPath));
        assert.ok(!text.includes("canary"), `round ${round}: ${text}`);
        seen.inside++;
      } catch (error) {
        if (!(error instanceof RuntimeError)) throw error;
        assert.match(error.message, /open subPath: place.* leads out of the volume/);
        seen.refused++;
      }
      assert.deepEqual(readdirSync(canary), ["mark"], `round ${round}`);
    }
    await runtime.signalContainer(pod.id, "swapper", 9);
    await node.exit("swapper");
    await runtime.removeContainer(pod.id, "swapper");
    assert.ok(seen.inside > 0 && seen.refused > 0, `the race was on: ${JSON.stringify(seen)}`);
    assert.equal(existsSync(join(canary, "mark")), true);
  });
});
