import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { NativeLibrary, type ShimSpec } from "./native-library.ts";
import { until } from "./testing/patience.ts";

const nativeDir = fileURLToPath(new URL("../../dist", import.meta.url));
const probes = fileURLToPath(new URL("../build/probe", import.meta.url));
const run = promisify(execFile);

/** Whether only its entry is left, for init to collect. */
async function hasEnded(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ") X");
  return /\) [ZX]/.test(stat);
}

const ready = "printf R >&3; exec 3>&-";

test("memory that is given back goes, and what is needed of it comes back", async () => {
  const library = new NativeLibrary({ nativeDir, cgroupRoot: "tessera-unused" });
  const residentKb = async () => Number(/^RssFile:\s+(\d+) kB$/m.exec(await readFile("/proc/self/status", "utf8"))?.[1]);
  const before = await residentKb();
  await library.releaseMemory();
  const after = await residentKb();
  assert.ok(after < before * 0.75, `${before} kB of files were resident, and ${after} kB are`);
  // Parsing, compiling, regular expressions, collecting garbage: all that the program does it still does.
  const numbers = Array.from({ length: 100_000 }, (_, i) => `${i}`);
  assert.equal(new Function("list", "return list.filter((text) => /^9+$/.test(text)).join()")(numbers), "9,99,999,9999,99999");
  await library.close();
});

describe("as root", () => {
  let folder: string;
  let library: NativeLibrary;

  before(async () => {
    await run("make", ["-s", "-C", fileURLToPath(new URL("..", import.meta.url)), "probes"]);
    folder = await mkdtemp(join(tmpdir(), "tessera-native-"));
    library = new NativeLibrary({ nativeDir, cgroupRoot: `tessera-test-${process.pid}` });
  });

  after(async () => {
    await library.killCgroup("");
    await library.removeCgroup("");
    await library.close();
    await rm(folder, { recursive: true });
  });

  const shell = (script: string, path?: string): ShimSpec => ({
    shimPath: "/bin/sh",
    argv: ["sh", "-c", script],
    env: ["PATH=/usr/bin:/bin", "ONLY=this"],
    ...(path !== undefined && { cgroup: { path, resources: {} } }),
  });
  const spawn = async (spec: ShimSpec, signal?: AbortSignal) => {
    const shim = await library.spawnShim(spec, signal);
    shim.connection.destroy();
    return shim;
  };

  describe("spawnShim", () => {
    test("leaves no child behind, with clean descriptors, environment, signals and session", async () => {
      const report = join(folder, "report");
      const shim = await spawn(
        shell(`{ ls -l /proc/self/fd; env; pwd; cat /proc/self/status /proc/$$/stat; } >${report}; ${ready}; exec sleep 1000`),
      );
      const text = await readFile(report, "utf8");
      assert.match(text, /0 -> \/dev\/null/);
      assert.match(text, /2 -> \/dev\/null/);
      assert.match(text, /3 -> socket:/);
      // 4 is the folder that ls lists.
      assert.doesNotMatch(text, / (?:[5-9]|[0-9]{2,}) -> /);
      assert.match(text, /^ONLY=this$/m);
      assert.doesNotMatch(text, /^HOME=/m);
      assert.match(text, /^\/$/m);
      for (const mask of ["SigBlk", "SigIgn"]) assert.match(text, new RegExp(`^${mask}:\\s+0+$`, "m"));
      const stat = (await readFile(`/proc/${shim.pid}/stat`, "utf8")).replace(/.*\) /, "").split(" ");
      assert.notEqual(Number(stat[1]), process.pid, "the shim is a child of this process");
      assert.notEqual(Number(stat[3]), shim.pid, "the shim leads a session and could get a terminal");
      assert.equal(Number(stat[19]), shim.startTime);
      const own = (await readFile(`/proc/self/task/${process.pid}/children`, "utf8")).trim();
      assert.equal(own, "", "children of this process");

      assert.equal(await library.signalProcess({ pid: shim.pid, startTime: shim.startTime + 1 }, constants.signals.SIGKILL), false);
      assert.ok(existsSync(`/proc/${shim.pid}`), "signalled although the start time was another one");
      assert.equal(await library.signalProcess(shim, constants.signals.SIGKILL), true);
      await until("end of the shim", () => hasEnded(shim.pid));
    });

    test("says what a shim that cannot start wrote, and what it died of silently", async () => {
      await assert.rejects(spawn(shell("echo no socket folder >&3; exit 1")), {
        reason: "Internal",
        message: /start shim \/bin\/sh: no socket folder/,
      });
      await assert.rejects(spawn(shell("exit 1")), { message: /ended before it listened/ });
      await assert.rejects(spawn({ ...shell(""), shimPath: "/nowhere/shim" }), {
        step: "open program",
        errno: constants.errno.ENOENT,
        message: /\/nowhere\/shim/,
      });
      await assert.rejects(spawn({ ...shell(""), shimPath: "/etc/passwd" }), { step: "exec", errno: constants.errno.EACCES });
      await assert.rejects(spawn({ ...shell(""), netnsPath: "/nowhere/netns" }), { step: "open network namespace" });
      await assert.rejects(spawn({ ...shell(""), netnsPath: "/dev/null" }), {
        step: "join network namespace",
        errno: constants.errno.EINVAL,
      });
    });

    test("kills a shim that does not get ready in time, or when it is no longer wanted", async () => {
      const pidFile = join(folder, "slow.pid");
      await assert.rejects(spawn({ ...shell(`echo $$ >${pidFile}; exec sleep 1000`), readyTimeoutMs: 200 }), {
        message: /did not listen within 200 ms/,
      });
      const pid = Number(await readFile(pidFile, "utf8"));
      await until("end of the slow shim", () => hasEnded(pid));

      const wanted = new AbortController();
      const spawning = spawn(shell(`echo $$ >${pidFile}.2; exec sleep 1000`), wanted.signal);
      await until("start of the shim", () => existsSync(`${pidFile}.2`));
      wanted.abort();
      await assert.rejects(spawning, { reason: "Cancelled" });
    });

    test("appends stderr to the log, and enters cgroups and network namespace", async () => {
      const name = `tessera-test-${process.pid}`;
      await run("ip", ["netns", "add", name]);
      try {
        const logPath = join(folder, "shim.log");
        const shim = await spawn({
          ...shell(`echo a word >&2; ${ready}; exec sleep 1000`, "entered"),
          netnsPath: `/run/netns/${name}`,
          logPath,
        });
        assert.equal(await readFile(logPath, "utf8"), "a word\n");
        assert.deepEqual(await library.cgroupProcesses("entered"), [shim.pid]);
        assert.notEqual(await readlink(`/proc/${shim.pid}/ns/net`), await readlink("/proc/self/ns/net"));
        for (const line of (await readFile(`/proc/${shim.pid}/cgroup`, "utf8")).split("\n"))
          if (/:(cpu|memory|pids|devices):/.test(line)) assert.match(line, /\/entered(\/shim)?$/);
          else if (line.startsWith("0::") && (await library.cgroupDirs("")).length === 1) assert.match(line, /\/entered\/shim$/);
        await library.killCgroup("entered");
        await library.removeCgroup("entered");
      } finally {
        await run("ip", ["netns", "del", name]);
      }
    });

    test("forty at once all start, and none stays", async () => {
      const shims = await Promise.all(Array.from({ length: 40 }, () => spawn(shell(`${ready}; exec sleep 1000`, "crowd"))));
      assert.equal(new Set(shims.map((shim) => shim.pid)).size, 40);
      assert.equal((await library.cgroupProcesses("crowd")).length, 40);
      await library.killCgroup("crowd");
      await library.removeCgroup("crowd");
      assert.deepEqual(await library.listCgroups("crowd").catch((error) => error.reason), []);
    });
  });

  describe("cgroups", () => {
    const dirOf = async (path: string, file: string) => {
      for (const dir of await library.cgroupDirs(path)) if (existsSync(join(dir, file))) return join(dir, file);
      throw new Error(`no ${file} of ${path}`);
    };
    const read = async (path: string, ...files: string[]) => {
      for (const file of files) {
        const found = await dirOf(path, file).catch(() => undefined);
        if (found) return (await readFile(found, "utf8")).trim();
      }
      throw new Error(`none of ${files}`);
    };

    test("limits reach the kernel, can be changed, and the cgroup goes without trace", async () => {
      await library.createCgroup("limited/app", {
        cpuShares: 512,
        cpuQuotaUs: 50_000,
        cpuPeriodUs: 100_000,
        memoryLimitBytes: 64 * 1024 * 1024,
        pidsLimit: 20,
      });
      assert.deepEqual(await library.listCgroups(), ["limited"]);
      assert.deepEqual(await library.listCgroups("limited"), ["app"]);
      assert.equal(await read("limited/app", "memory.limit_in_bytes", "memory.max"), "67108864");
      assert.match(await read("limited/app", "cpu.shares", "cpu.weight"), /^(512|59)$/);
      assert.match(await read("limited/app", "cpu.cfs_quota_us", "cpu.max"), /^50000/);
      assert.equal(await read("limited/app", "pids.max"), "20");
      for (const memoryLimitBytes of [128 * 1024 * 1024, 32 * 1024 * 1024]) {
        await library.createCgroup("limited/app", { memoryLimitBytes });
        assert.equal(await read("limited/app", "memory.limit_in_bytes", "memory.max"), String(memoryLimitBytes));
      }
      const usage = await library.cgroupUsage("limited/app");
      assert.equal(usage.pids, 0);
      assert.equal(usage.oomKills, 0);
      assert.equal(typeof usage.cpuNs, "number");
      const [there, missing, root] = await library.cgroupSamples(["limited/app", "limited/none", ""]);
      assert.ok(there !== undefined && !(there instanceof Error) && root !== undefined && !(root instanceof Error));
      assert.deepEqual([there.memoryWorkingSetBytes, missing], [0n, undefined]);
      assert.ok(there.cpuNs <= root.cpuNs && there.timeNs <= root.timeNs && root.timeNs <= process.hrtime.bigint());
      const names = Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? "limited/app" : "limited/none"));
      const many = await library.cgroupSamples(names);
      assert.deepEqual(
        many.map((sample) => sample !== undefined),
        names.map((name) => name === "limited/app"),
      );
      await assert.rejects(library.cgroupSamples(["limited", "../outside"]), { step: "read cgroups" });
      const dirs = await library.cgroupDirs("limited");
      await library.removeCgroup("limited");
      assert.deepEqual(dirs.filter(existsSync), []);
      await library.removeCgroup("limited");
    });

    test("a refused limit names file and cgroup; a path that leaves the root is refused", async () => {
      await assert.rejects(library.createCgroup("refused", { cpuQuotaUs: 1 }), {
        reason: "InvalidArgument",
        step: "set cgroup limit",
        message: /(cpu\.cfs_quota_us|cpu\.max) of "refused" to 1/,
      });
      await library.removeCgroup("refused");
      for (const path of ["../outside", "a/../b", "/a", "a//b", "", "a/", "a\nb", "."])
        await assert.rejects(library.createCgroup(path, {}), { reason: "InvalidArgument" }, JSON.stringify(path));
    });

    test("a tree that forks as fast as it can is killed whole", async () => {
      await spawn({
        ...shell(""),
        shimPath: join(probes, "fork-bomb"),
        argv: ["fork-bomb"],
        cgroup: { path: "bomb/app", resources: { pidsLimit: 60 } },
      });
      await until("sixty processes", async () => (await library.cgroupProcesses("bomb")).length >= 55);
      await library.killCgroup("bomb");
      assert.deepEqual(await library.cgroupProcesses("bomb"), []);
      await library.removeCgroup("bomb");
      await library.killCgroup("bomb");
    });

    test("an out-of-memory kill is counted", async () => {
      const cgroup = { path: "hungry/app", resources: { memoryLimitBytes: 16 * 1024 * 1024 } };
      await spawn({ ...shell(`${ready}; exec tail /dev/zero`), cgroup });
      await until("an OOM kill", async () => (await library.cgroupUsage("hungry/app")).oomKills === 1);
      await library.killCgroup("hungry");
      await library.removeCgroup("hungry");
    });

    test("with the default devices, others cannot be opened even through a node of one's own", async () => {
      await library.createCgroup("devices/app", {}, { defaultDevices: true });
      const report = join(folder, "devices");
      const node = join(folder, "kmsg");
      await spawn(
        shell(
          `{ mknod ${node} c 1 11 && cat ${node} 2>&1 | head -c 200; head -c 1 /dev/zero | wc -c; } >${report}; ${ready}; exec sleep 1000`,
          "devices/app",
        ),
      );
      assert.match(await readFile(report, "utf8"), /Operation not permitted\n1\n/);
      await library.killCgroup("devices");
      await library.removeCgroup("devices");
    });

    test("another instance sees what the first one made", async () => {
      await library.createCgroup("kept", {});
      const next = new NativeLibrary({ nativeDir, cgroupRoot: `tessera-test-${process.pid}` });
      assert.deepEqual(await next.listCgroups(), ["kept"]);
      await next.removeCgroup("kept");
      await next.close();
      assert.deepEqual(await library.listCgroups(), []);
    });
  });

  test("nothing of the tests is left among the descriptors", async () => {
    const open = await Promise.all((await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
    assert.deepEqual(
      open.filter((target) => /netns|\/tasks$|shim\.log/.test(target)),
      [],
    );
  });
});
