/** Limits of containers as the kernel keeps them, on cgroup v1 and v2 alike. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { NativeHostFiles } from "./native-host-files.ts";
import { Collected, hasController, Node, nativeDir } from "./native-runtime-fixture.ts";
import { type Resources, type Rlimit, RuntimeError } from "./runtime.ts";
import { until } from "./testing/patience.ts";

const MIB = 1 << 20;
const isUnified = existsSync("/sys/fs/cgroup/cgroup.controllers");
const node = new Node();
const runtime = node.agent();
const signal = AbortSignal.timeout(600_000);
const { id: pod } = await runtime.createSandbox(node.sandbox(), signal);
after(() => node.close());

let containers = 0;

/** Starts a container that waits to be killed. */
async function start(script: string, changes: Parameters<Node["container"]>[2] = {}): Promise<string> {
  const id = `limited-${++containers}`;
  await runtime.startContainer(pod, node.container(id, script, changes), signal);
  return id;
}

async function stop(id: string): Promise<void> {
  await runtime.signalContainer(pod, id, 9);
  await node.exit(id);
  await runtime.removeContainer(pod, id);
}

/** What a script prints that runs with these limits to its end. */
async function output(script: string, changes: Parameters<Node["container"]>[2] = {}): Promise<string> {
  const id = await start(script, changes);
  await node.exit(id);
  await runtime.removeContainer(pod, id);
  return node.output(id);
}

async function exec(id: string, script: string): Promise<string> {
  const collected = new Collected();
  const session = await runtime.exec(pod, id, node.process(script), false, collected, signal);
  await session.exited;
  return collected.text;
}

/** Reads a file of the container's own cgroup, which v1 has below the controller's name. */
const cat = (controller: string, v1: string, v2: string) => `cat /sys/fs/cgroup/${isUnified ? v2 : `${controller}/${v1}`}`;

async function refused(resources: Resources, message: RegExp): Promise<void> {
  await assert.rejects(start("true", { resources }), (error) => {
    assert.ok(error instanceof RuntimeError, String(error));
    assert.match(error.message, message);
    return true;
  });
}

describe("swap", { skip: !hasController("memory") && "there is no memory controller" }, () => {
  const file = cat("memory", "memory.memsw.limit_in_bytes", "memory.swap.max");
  const memory = isUnified ? 0 : 64 * MIB;

  test("a container with a memory limit has none, one with a swap limit has that", async () => {
    const limited = { memoryLimitBytes: 64 * MIB };
    if ((await output(`${file} || echo absent`, { resources: limited })) === "absent\n") {
      await refused({ ...limited, swapLimitBytes: MIB }, /the kernel does not count it/);
      return;
    }
    assert.equal(await output(file, { resources: limited }), `${memory}\n`);
    assert.equal(await output(file, { resources: { ...limited, swapLimitBytes: 16 * MIB } }), `${memory + 16 * MIB}\n`);
  });

  test("without a memory limit it can be kept from swap by cgroup v2 only", async () => {
    if (!isUnified) await refused({ swapLimitBytes: MIB }, /cgroup v1 limits it only along with memory/);
    else assert.equal(await output(`${file} || echo 0`, { resources: { swapLimitBytes: 0 } }), "0\n");
  });
});

describe("CPUs", { skip: !hasController("cpuset") && "there is no cpuset controller" }, () => {
  test("a container runs where its cpuset says, and one beside it everywhere", async () => {
    const allowed = async (id: string) => (await exec(id, "grep Cpus_allowed_list /proc/1/status")).split("\t")[1]?.trim();
    const last = String(Number(execFileSync("nproc", { encoding: "utf8" })) - 1);
    const pinned = await start("sleep 1000", { resources: { cpusetCpus: last, cpusetMems: "0" } });
    const free = await start("sleep 1000", {});
    assert.equal(await allowed(pinned), last);
    assert.equal(await allowed(free), /Cpus_allowed_list:\s+(\S+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
    await stop(pinned);
    await stop(free);
  });

  test("what is no list of CPUs is refused", async () => {
    await refused({ cpusetCpus: "some" }, /cpuset\.cpus of .* to some: Invalid argument/);
  });
});

describe("I/O", { skip: !hasController(isUnified ? "io" : "blkio") && "there is no I/O controller" }, () => {
  /** The whole disk that the containers' files are on. */
  function disk(): { major: number; minor: number } {
    const { dev } = statSync(node.folder);
    const numbers = `${(dev >> 8) & 0xfff}:${dev & 0xff}`;
    const [major = 0, minor = 0] = execFileSync("sh", [
      ...["-c", `cd -P /sys/dev/block/${numbers} && if [ -e partition ]; then cat ../dev; else cat dev; fi`],
    ])
      .toString()
      .split(":")
      .map(Number);
    return { major, minor };
  }

  test("a device is written no faster than the limit", async () => {
    const limit = { ...disk(), writeBytes: MIB, readOperations: 500 };
    const script = `
      ${cat("blkio", "blkio.throttle.write_bps_device", "io.max")}
      ${isUnified ? "" : "cat /sys/fs/cgroup/blkio/blkio.throttle.read_iops_device"}
      dd if=/dev/zero of=/tmp/data bs=256k count=12 oflag=direct 2>/dev/null`;
    const before = performance.now();
    const text = await output(script, { resources: { ioLimits: [limit] } });
    const seconds = (performance.now() - before) / 1000;
    const device = `${limit.major}:${limit.minor}`;
    if (isUnified) assert.equal(text, `${device} rbps=max wbps=1048576 riops=500 wiops=max\n`);
    else assert.equal(text, `${device} 1048576\n${device} 500\n`);
    assert.ok(seconds > 2, `3 MiB at 1 MiB/s took ${seconds} s`);
  });

  test("a device that is none is refused", async () => {
    await refused({ ioLimits: [{ major: 4095, minor: 1, readBytes: MIB }] }, /to 4095:1 .*1048576/);
  });

  test("a weight is set where an I/O scheduler knows weights, and refused elsewhere", async () => {
    const files = isUnified ? ["io.bfq.weight", "io.weight"] : ["blkio/blkio.bfq.weight", "blkio/blkio.weight"];
    // v1 has a folder there only for what is limited in I/O.
    const resources = { ioLimits: [{ ...disk(), readBytes: 1024 * MIB }] };
    const shown = await output(`cat ${files.map((file) => `/sys/fs/cgroup/${file}`).join(" ")} 2>/dev/null`, { resources });
    if (shown === "") await refused({ ioWeight: 500 }, /the kernel has n/);
    else
      assert.match(await output(`cat /sys/fs/cgroup/*weight /sys/fs/cgroup/blkio/*weight`, { resources: { ioWeight: 500 } }), /(500|4950)/);
  });
});

test("huge pages are limited by size, or refused where the kernel does not count them", async () => {
  const hugepageLimits = [{ pageBytes: 2 * MIB, limitBytes: 2 * MIB }];
  if (!hasController("hugetlb")) return await refused({ hugepageLimits }, /the hugetlb controller is not available/);
  const pool = "/proc/sys/vm/nr_hugepages";
  const before = readFileSync(pool, "utf8");
  writeFileSync(pool, "4");
  try {
    copyFileSync(join(nativeDir, "../runtime-native/build/probe/hugepages"), join(node.image, "bin/hugepages"));
    const script = "hugepages 1; hugepages 2 || echo refused";
    assert.equal(await output(script, { resources: { hugepageLimits } }), "1\nrefused\n");
    assert.equal(await output(script), "1\n2\n");
  } finally {
    writeFileSync(pool, before);
  }
});

test("a volume of huge pages is one", async () => {
  const [size] = readdirSync("/sys/kernel/mm/hugepages");
  const pageBytes = Number(/\d+/.exec(size ?? "")) * 1024;
  if (pageBytes === 0) return;
  const folder = join(node.folder, "hugepages");
  mkdirSync(folder);
  const files = new NativeHostFiles({ library: node.library });
  await files.mountHugepages(folder, { pageBytes, mode: 0o1777 });
  assert.equal(statfsSync(folder).bsize, pageBytes);
  assert.equal(statSync(folder).mode & 0o7777, 0o1777);
  await files.unmountBelow(folder);
  await assert.rejects(files.mountHugepages(folder, { pageBytes: 3, mode: 0o700 }), /mount: hugetlbfs at .*pagesize=3/);
});

describe("pause", () => {
  const counting = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done";
  const count = (id: string) => node.log(id).length;
  const phaseOf = async (id: string) => {
    const another = node.agent();
    const [found] = await another.recover(signal);
    await another.close();
    return found?.containers.find((container) => container.id === id);
  };

  test("a paused container stands still and goes on where it was", async () => {
    const paused = await start(counting);
    const other = await start(counting);
    await until("it counts", () => count(paused) > 3);
    await runtime.pauseContainer(pod, paused);
    const before = count(paused);
    const otherBefore = count(other);
    await until("the other one counts on", () => count(other) > otherBefore + 10);
    // One line may have been on its way through the shim.
    assert.ok(count(paused) <= before + 1, `${count(paused)} after ${before}`);
    await assert.rejects(exec(paused, "true"), /is paused; resume it first/);
    assert.deepEqual(await phaseOf(paused).then((state) => state?.phase === "running" && state.paused), true);
    await runtime.resumeContainer(pod, paused);
    await until("it counts on", () => count(paused) > before + 3);
    assert.equal(await exec(paused, "echo here"), "here\n");
    await stop(paused);
    await stop(other);
  });

  test("a paused container can be killed, and a pod with one is removed without delay", async () => {
    const { id } = await runtime.createSandbox(node.sandbox(), signal);
    for (const name of ["frozen-a", "frozen-b"]) {
      await runtime.startContainer(id, node.container(name, "sleep 1000"), signal);
      await runtime.pauseContainer(id, name);
    }
    await runtime.signalContainer(id, "frozen-a", 9);
    assert.equal((await node.exit("frozen-a")).exitCode, 137);
    const before = performance.now();
    await runtime.removeSandbox(id);
    // A shim that cannot end its containers is given up after 5 s.
    assert.ok(performance.now() - before < 4000, `${performance.now() - before} ms`);
  });
});

describe("rlimits", () => {
  const canRaise = (BigInt(`0x${/CapEff:\t(\w+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]}`) >> 24n) & 1n;
  const script = "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc";
  const rlimits: Rlimit[] = [
    { name: "nofile", soft: 100, hard: 200 },
    { name: "core", soft: 0, hard: undefined },
  ];

  test("a container's processes have them, and so has an exec", async () => {
    const id = await start(`${script}; sleep 1000`, { rlimits });
    await until("it tells", () => node.log(id).length === 4);
    assert.equal(node.output(id), "100\n200\n0\nunlimited\n");
    assert.equal(await exec(id, script), "100\n200\n0\nunlimited\n");
    await stop(id);
  });

  test("a hard limit over the node's own takes the capability to raise it", async () => {
    const [, hard = ""] = /Max open files\s+\d+\s+(\d+)/.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    const higher: Rlimit[] = [{ name: "nofile", soft: 100, hard: Number(hard) + 1 }];
    if (canRaise) return assert.equal(await output("ulimit -Hn", { rlimits: higher }), `${Number(hard) + 1}\n`);
    await assert.rejects(start("true", { rlimits: higher }), (error) => {
      assert.ok(error instanceof RuntimeError && error.reason === "InvalidArgument", String(error));
      assert.match(error.message, new RegExp(`nofile: hard limit ${Number(hard) + 1} is above the node's own ${hard}`));
      return true;
    });
  });
});
