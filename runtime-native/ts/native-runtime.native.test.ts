import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { Node } from "./native-runtime-fixture.ts";
import { RuntimeError } from "./runtime.ts";
import { until } from "./testing/patience.ts";

const node = new Node();
const runtime = node.agent();
const signal = AbortSignal.timeout(600_000);
after(() => node.close());

test("a container runs to its exit code and its output is logged line by line", async () => {
  const { id } = await runtime.createSandbox(node.sandbox(), signal);
  const started = await runtime.startContainer(id, node.container("hello", "echo one; echo two >&2; printf three; exit 7"), signal);
  assert.equal(started.phase, "running");
  const exit = await node.exit("hello");
  assert.equal(exit.exitCode, 7);
  assert.equal(exit.signal, 0);
  assert.equal(exit.oomKilled, false);
  assert.ok(exit.finishedAtMs >= exit.startedAtMs && exit.startedAtMs === started.startedAtMs);
  assert.deepEqual(node.log("hello").toSorted(), ["stderr F two", "stdout F one", "stdout F three"]);
  await runtime.removeSandbox(id);
  await node.assertNothingLeft();
});

test("a signal ends a container with 128 and its number; one that has ended is signalled without a fault", async () => {
  const { id } = await runtime.createSandbox(node.sandbox(), signal);
  await runtime.startContainer(
    id,
    node.container("term", "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done"),
    signal,
  );
  await until("it traps", () => node.log("term").length === 1);
  await runtime.signalContainer(id, "term", 15);
  assert.equal((await node.exit("term")).exitCode, 5);
  await runtime.startContainer(id, node.container("kill", ["sleep", "1000"]), signal);
  await runtime.signalContainer(id, "kill", 9);
  const exit = await node.exit("kill");
  assert.deepEqual([exit.exitCode, exit.signal], [137, 9]);
  await runtime.signalContainer(id, "kill", 15);
  await assert.rejects(runtime.signalContainer(id, "nobody", 15), (error) => error instanceof RuntimeError && error.reason === "NotFound");
  await runtime.removeSandbox(id);
});

test("an exit is told after the start, even when it comes at once", async () => {
  const { id } = await runtime.createSandbox(node.sandbox(), signal);
  const names = Array.from({ length: 20 }, (_, index) => `quick-${index}`);
  await Promise.all(
    names.map(async (name) => {
      await runtime.startContainer(id, node.container(name, ["true"]), signal);
      assert.ok(
        !node.events.some((event) => event.event === "containerExited" && event.container.id === name),
        `${name} was told too early`,
      );
      assert.equal((await node.exit(name)).exitCode, 0);
    }),
  );
  await runtime.removeSandbox(id);
});

test("a container's id is its own until it is removed, and its cgroup goes with it", async () => {
  const spec = node.sandbox();
  await runtime.createSandbox(spec, signal);
  await runtime.startContainer(spec.id, node.container("once", ["sleep", "1000"]), signal);
  const again = runtime.startContainer(spec.id, node.container("once", ["true"]), signal);
  await assert.rejects(again, (error) => error instanceof RuntimeError && error.reason === "AlreadyExists");
  await assert.rejects(runtime.removeContainer(spec.id, "once"), /once runs/);
  await runtime.signalContainer(spec.id, "once", 9);
  await node.exit("once");
  assert.deepEqual(await node.containerCgroups(spec.cgroup), ["once"]);
  assert.deepEqual(
    readdirSync(join(node.runDir, spec.id)).filter((name) => name.endsWith(".exit")),
    ["once.exit"],
  );
  await runtime.removeContainer(spec.id, "once");
  await runtime.removeContainer(spec.id, "once");
  assert.deepEqual(await node.containerCgroups(spec.cgroup), []);
  assert.deepEqual(
    readdirSync(join(node.runDir, spec.id)).filter((name) => name.endsWith(".exit")),
    [],
  );
  await runtime.startContainer(spec.id, node.container("once", ["true"]), signal);
  await runtime.removeSandbox(spec.id);
});

test("a pod is in no cgroup of its maker, not even in hierarchies without controllers", async () => {
  const { id, pid: shim } = await runtime.createSandbox(node.sandbox(), signal);
  const { pid } = await runtime.startContainer(id, node.container("sleeper", ["sleep", "1000"]), signal);
  // systemd knows by the last two what belongs to the agent's service.
  const isV2 = existsSync("/sys/fs/cgroup/cgroup.procs");
  const ours = isV2 ? /^0:/ : /:(cpu|memory|pids|freezer|cpuset|devices|blkio|hugetlb|name=systemd|):/;
  for (const process of [shim, pid]) {
    const lines = readFileSync(`/proc/${process}/cgroup`, "utf8")
      .split("\n")
      .filter((line) => ours.test(line));
    assert.ok(lines.length > 0);
    for (const line of lines) assert.match(line, new RegExp(`:/(.*/)?${node.cgroupRoot}(/|$)`));
  }
  await runtime.removeSandbox(id);
});

test("a sandbox's id is its own until it is removed", async () => {
  const spec = node.sandbox();
  await runtime.createSandbox(spec, signal);
  await assert.rejects(runtime.createSandbox(spec, signal), (error) => error instanceof RuntimeError && error.reason === "AlreadyExists");
  await runtime.startContainer(spec.id, node.container("still-there", ["true"]), signal);
  await runtime.removeSandbox(spec.id);
  await runtime.createSandbox(spec, signal);
  await runtime.removeSandbox(spec.id);
});

test("names that would lead somewhere else are refused", async () => {
  for (const id of ["", "..", "../evil", "a/b", `long${"x".repeat(200)}`])
    await assert.rejects(
      runtime.createSandbox(node.sandbox({ id, cgroup: "podbad" }), signal),
      (error) => error instanceof RuntimeError && error.reason === "InvalidArgument",
    );
  const { id } = await runtime.createSandbox(node.sandbox(), signal);
  for (const container of ["..", "a/b", ".hidden"])
    await assert.rejects(
      runtime.startContainer(id, { ...node.container("named", ["true"]), id: container }, signal),
      (error) => error instanceof RuntimeError,
    );
  await runtime.removeSandbox(id);
});

test("a log is rotated by size and only so many files are kept", async () => {
  const { id } = await runtime.createSandbox(node.sandbox(), signal);
  const spec = node.container("chatty", "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done");
  await runtime.startContainer(id, { ...spec, log: { ...spec.log, maxBytes: 10_000, maxFiles: 3 } }, signal);
  await node.exit("chatty");
  const files = readdirSync(node.folder).filter((name) => name.startsWith("chatty.log"));
  assert.deepEqual(files.toSorted(), ["chatty.log", "chatty.log.1", "chatty.log.2"]);
  for (const name of files) assert.ok(statSync(join(node.folder, name)).size <= 10_000, name);
  const numbers = [".2", ".1", ""]
    .flatMap((suffix) => node.log("chatty", suffix))
    .map((line) => Number(line.replace("stdout F line ", "")));
  assert.equal(numbers.at(-1), 999);
  assert.deepEqual(
    numbers,
    Array.from({ length: numbers.length }, (_, index) => 1000 - numbers.length + index),
  );
  assert.equal(statSync(join(node.folder, "chatty.log")).mode & 0o777, 0o640);
  await runtime.removeSandbox(id);
});

test("log lines bear the time, and long ones come in parts", async () => {
  const { id } = await runtime.createSandbox(node.sandbox(), signal);
  await runtime.startContainer(id, node.container("long", "head -c 40000 /dev/zero | tr '\\0' x; echo; echo; printf 'no end'"), signal);
  await node.exit("long");
  const text = readFileSync(join(node.folder, "long.log"), "utf8");
  for (const line of text.trimEnd().split("\n")) assert.match(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z stdout [FP] /);
  const age = Date.now() - Date.parse(text.slice(0, 30));
  assert.ok(age >= 0 && age < 60_000, `${age} ms old`);
  assert.deepEqual(
    node.log("long").map((line) => [line.slice(7, 8), line.length - "stdout F ".length]),
    [
      ["P", 16_384],
      ["P", 16_384],
      ["F", 7232],
      ["F", 0],
      ["F", 6],
    ],
  );
  await runtime.removeSandbox(id);
});

test("a full disk costs log lines, not the container, and leaves no torn line", async () => {
  const full = join(node.folder, "full");
  mkdirSync(full);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "none", full]);
  try {
    const { id } = await runtime.createSandbox(node.sandbox(), signal);
    const spec = node.container("flood", "i=0; while [ $i -lt 5000 ]; do echo line $i of a flood; i=$((i+1)); done; exit 3");
    await runtime.startContainer(id, { ...spec, log: { ...spec.log, path: join(full, "log") } }, signal);
    assert.equal((await node.exit("flood")).exitCode, 3);
    const text = readFileSync(join(full, "log"), "utf8");
    assert.ok(text.length > 60_000);
    for (const line of text.trimEnd().split("\n")) assert.match(line, /Z stdout F line \d+ of a flood$/);
    await runtime.removeSandbox(id);
  } finally {
    execFileSync("umount", [full]);
  }
});

test("a log that is a link or no file is refused", async () => {
  const { id } = await runtime.createSandbox(node.sandbox(), signal);
  const canary = join(node.folder, "log-canary");
  writeFileSync(canary, "canary");
  symlinkSync(canary, join(node.folder, "linked.log"));
  await assert.rejects(runtime.startContainer(id, node.container("linked", "echo x"), signal), /open log/);
  execFileSync("mkfifo", [join(node.folder, "fifo.log")]);
  await assert.rejects(runtime.startContainer(id, node.container("fifo", "echo x"), signal), /open log/);
  assert.equal(readFileSync(canary, "utf8"), "canary");
  await runtime.removeSandbox(id);
});

test("the shim's socket is a file that only root may open, never an abstract one", async () => {
  const spec = node.sandbox();
  const { pid } = await runtime.createSandbox(spec, signal);
  assert.equal(statSync(join(node.runDir, spec.id, "shim.sock")).mode & 0o777, 0o600);
  const sockets = readFileSync(`/proc/${pid}/net/unix`, "utf8").split("\n");
  assert.ok(sockets.some((line) => line.endsWith(`${spec.id}/shim.sock`)));
  // Those of development clusters are locks.
  assert.deepEqual(
    sockets.filter((line) => / @(?!tessera-dev\/).*(tessera|shim)/.test(line)),
    [],
  );
  const script = `require("net").connect(${JSON.stringify(join(node.runDir, spec.id, "shim.sock"))}).on("data", () => process.exit(9)).on("error", () => process.exit(3)).on("close", () => process.exit(4)).write(Buffer.from("000000000100000001000000", "hex"))`;
  assert.throws(
    () => execFileSync("setpriv", ["--reuid", "65534", "--clear-groups", process.execPath, "-e", script]),
    (error) => {
      assert.ok([3, 4].includes((error as { status: number }).status));
      return true;
    },
  );
  await runtime.removeSandbox(spec.id);
});

test("a shim takes little memory", async () => {
  const spec = node.sandbox();
  const { pid } = await runtime.createSandbox(spec, signal);
  await runtime.startContainer(spec.id, node.container("small", "echo x; exec sleep 1000"), signal);
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  // Its program's pages are shared by all shims of the node.
  const own = /^Private_Dirty:\s+(\d+) kB/m.exec(rollup)?.[1];
  assert.ok(Number(own) <= 64, rollup);
  await runtime.removeSandbox(spec.id);
});

test("a cancelled creation or start leaves nothing and says so", async () => {
  const wanted = (error: unknown) => error instanceof RuntimeError && error.reason === "Cancelled";
  const late = new AbortController();
  const creation = runtime.createSandbox(node.sandbox(), late.signal);
  late.abort();
  await assert.rejects(creation, wanted);
  await node.assertNothingLeft();

  const spec = node.sandbox();
  await runtime.createSandbox(spec, signal);
  for (let ticks = 0; ticks < 12; ticks++) {
    const cancel = new AbortController();
    const start = runtime.startContainer(spec.id, node.container(`cancelled-${ticks}`, ["sleep", "1000"]), cancel.signal);
    for (let tick = 0; tick < ticks; tick++) await new Promise((next) => setImmediate(next));
    cancel.abort();
    await start.then(
      async () => {
        await runtime.signalContainer(spec.id, `cancelled-${ticks}`, 9);
        await node.exit(`cancelled-${ticks}`);
        await runtime.removeContainer(spec.id, `cancelled-${ticks}`);
      },
      (error) => assert.ok(wanted(error), String(error)),
    );
    assert.deepEqual(await node.containerCgroups(spec.cgroup), []);
  }
  await runtime.removeSandbox(spec.id);
  await node.assertNothingLeft();
});

test("a network namespace that is not there is a clear fault, and nothing stays", async () => {
  const spec = node.sandbox({ network: { kind: "netns", path: "/run/netns/no-such-one" } });
  await assert.rejects(runtime.createSandbox(spec, signal), /no-such-one/);
  assert.equal(existsSync(join(node.runDir, spec.id)), false);
  await node.assertNothingLeft();
});

test("a run folder on a full disk is NoSpace, and nothing stays", async () => {
  const full = join(node.folder, "full-run");
  mkdirSync(full);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=4k,nr_inodes=100", "none", full]);
  try {
    writeFileSync(join(full, "filler"), Buffer.alloc(4096));
    const spec = node.sandbox();
    await assert.rejects(
      node.agent(full).createSandbox(spec, signal),
      (error) => error instanceof RuntimeError && error.reason === "NoSpace",
    );
    assert.deepEqual(readdirSync(full), ["filler"]);
    await node.assertNothingLeft([full]);
  } finally {
    execFileSync("umount", [full]);
  }
});

test("many pods at once come and go", async () => {
  const names = Array.from({ length: 30 }, (_, index) => `many-${index}`);
  await Promise.all(
    names.map(async (name) => {
      const spec = node.sandbox({ id: name, cgroup: `pod${name}` });
      await runtime.createSandbox(spec, signal);
      await runtime.startContainer(name, node.container(name, `echo ${name}; exec sleep 1000`), signal);
      await until(`${name} writes`, () => node.log(name).length === 1);
      await runtime.removeSandbox(name);
    }),
  );
  await node.assertNothingLeft();
});
