import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { Collected, Node, nativeDir, processesNaming } from "./native-runtime-fixture.ts";
import { RuntimeError } from "./runtime.ts";
import { until } from "./testing/patience.ts";
import { programPath, startProgram } from "./testing/program.ts";

const node = new Node();
const signal = AbortSignal.timeout(600_000);
after(() => node.close());

function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

test("a new agent finds running containers, and exits that happened without one", async () => {
  const first = node.agent();
  const spec = node.sandbox();
  const { pid } = await first.createSandbox(spec, signal);
  const running = await first.startContainer(
    spec.id,
    node.container("stays", "echo before; read line; echo after $line; sleep 1000"),
    signal,
  );
  const gate = join(node.folder, "gate");
  mkdirSync(gate);
  const waiting = node.container("ends", "until test -e /gate/open; do sleep 0.01; done; echo done; exit 9");
  await first.startContainer(
    spec.id,
    {
      ...waiting,
      mounts: [{ type: "bind", source: gate, destination: "/gate", readOnly: true, recursive: false, propagation: "private" }],
    },
    signal,
  );
  await first.close();
  writeFileSync(join(gate, "open"), "");
  await until("the container ends", () => existsSync(join(node.runDir, spec.id, "ends.exit")));

  const second = node.agent();
  const states = await second.recover(signal);
  assert.equal(states.length, 1);
  assert.equal(states[0]?.pid, pid);
  assert.deepEqual(
    states[0]?.containers.find((container) => container.id === "stays"),
    running,
  );
  const ended = states[0]?.containers.find((container) => container.id === "ends");
  assert.ok(ended?.phase === "exited" && ended.exitCode === 9);
  assert.deepEqual(node.log("ends"), ["stdout F done"]);
  assert.ok(isAlive(running.pid));

  const output = new Collected();
  const session = await second.exec(spec.id, "stays", node.process("echo again"), false, output, signal);
  assert.deepEqual(await session.exited, { exitCode: 0 });
  await second.signalContainer(spec.id, "stays", 9);
  assert.equal((await node.exit("stays")).exitCode, 137);
  await second.removeSandbox(spec.id);
  await node.assertNothingLeft();
});

test("two agents after one another, and one that recovers twice, get the same state", async () => {
  const first = node.agent();
  const spec = node.sandbox();
  await first.createSandbox(spec, signal);
  await first.startContainer(spec.id, node.container("same", ["sleep", "1000"]), signal);
  const states = await first.recover(signal);
  const second = node.agent();
  assert.deepEqual(await second.recover(signal), states);
  assert.deepEqual(await second.recover(signal), states);
  await first.close();
  await second.removeSandbox(spec.id);
  await node.assertNothingLeft();
});

test("a start that fails after its agent is gone ends as exit 128 for the next one", {
  skip: !existsSync("/sys/fs/cgroup/freezer") && "needs the v1 freezer",
}, async () => {
  const first = node.agent();
  const spec = node.sandbox();
  await first.createSandbox(spec, signal);
  // Frozen as soon as it joins its cgroup: in the middle of its start.
  await node.library.createCgroup(`${spec.cgroup}/frozen`, {});
  const freezer = (await node.library.cgroupDirs(`${spec.cgroup}/frozen`)).find((dir) => dir.includes("/freezer/"));
  assert.ok(freezer);
  writeFileSync(join(freezer, "freezer.state"), "FROZEN");
  const start = first.startContainer(spec.id, node.container("frozen", ["/no/such/command"]), signal);
  await until("it is being started", () => readFileSync(join(freezer, "cgroup.procs"), "utf8") !== "");

  const second = node.agent();
  const states = await second.recover(signal);
  assert.deepEqual(
    states[0]?.containers.map(({ id, phase }) => [id, phase]),
    [["frozen", "running"]],
  );
  writeFileSync(join(freezer, "freezer.state"), "THAWED");
  await assert.rejects(start, (error) => error instanceof RuntimeError && error.reason === "CommandNotFound");
  assert.equal((await node.exit("frozen")).exitCode, 128);
  await first.close();
  await second.removeSandbox(spec.id);
  await node.assertNothingLeft();
});

test("an exec dies with the agent that asked for it, the container does not", async () => {
  const first = node.agent();
  const spec = node.sandbox();
  await first.createSandbox(spec, signal);
  const main = await first.startContainer(spec.id, node.container("survivor", ["sleep", "1000"]), signal);
  const agent = await startProgram(process.execPath, [
    ...[programPath("exec-process"), nativeDir, node.cgroupRoot, node.runDir, spec.id, "survivor", "7654"],
  ]);
  const sleeping = async () => {
    const output = new Collected();
    const session = await first.exec(spec.id, "survivor", node.process("ps -o args | grep -c '[s]leep 7654'"), false, output, signal);
    await session.exited;
    return output.text.trim();
  };
  assert.equal(await sleeping(), "1");
  agent.kill("SIGKILL");
  await until("the exec is killed", async () => (await sleeping()) === "0");
  assert.ok(isAlive(main.pid));
  await first.removeSandbox(spec.id);
});

test("a killed shim takes its containers and execs along, and the agent is told", async () => {
  const runtime = node.agent();
  const spec = node.sandbox();
  const { pid } = await runtime.createSandbox(spec, signal);
  const containers = await Promise.all([
    runtime.startContainer(spec.id, node.container("lost-1", "sleep 1000 & exec sleep 1000"), signal),
    runtime.startContainer(
      spec.id,
      node.container("lost-2", ["sleep", "1000"], {
        process: node.process(["sleep", "1000"], { user: { uid: 1000, gid: 1000, additionalGids: [] } }),
      }),
      signal,
    ),
    runtime.startContainer(spec.id, node.container("lost-3", "sleep 1000 & exec sleep 1000", { pid: "host" }), signal),
  ]);
  await runtime.startContainer(spec.id, node.container("ended-before", "exit 6"), signal);
  assert.equal((await node.exit("ended-before")).exitCode, 6);
  const session = await runtime.exec(spec.id, "lost-1", node.process(["sleep", "1000"]), false, new Collected(), signal);
  process.kill(pid, "SIGKILL");
  await assert.rejects(session.exited, (error) => error instanceof RuntimeError && error.reason === "NotFound");
  await node.event((event) => event.event === "sandboxLost" && event.sandbox === spec.id);
  assert.deepEqual(await node.library.cgroupProcesses(spec.cgroup), []);
  await until("all are reaped", () => !containers.some((container) => isAlive(container.pid)));
  await assert.rejects(
    runtime.startContainer(spec.id, node.container("too-late", "true"), signal),
    (error) => error instanceof RuntimeError && error.reason === "NotFound",
  );
  await runtime.removeSandbox(spec.id);
  await node.assertNothingLeft();
});

test("shim and agent killed together: the next agent reports exits and the loss, and nothing is left", async () => {
  const first = node.agent();
  const spec = node.sandbox();
  const { pid } = await first.createSandbox(spec, signal);
  const main = await first.startContainer(spec.id, node.container("orphan", ["sleep", "1000"]), signal);
  const host = await first.startContainer(spec.id, node.container("host-orphan", "sleep 1000 & exec sleep 1000", { pid: "host" }), signal);
  await first.startContainer(spec.id, node.container("told-later", "exit 8"), signal);
  await until("its exit is written", () => existsSync(join(node.runDir, spec.id, "told-later.exit")));
  await first.close();
  process.kill(pid, "SIGKILL");
  await until("the containers die with it", () => !isAlive(main.pid) && !isAlive(host.pid));

  const second = node.agent();
  assert.deepEqual(await second.recover(signal), []);
  await node.event((event) => event.event === "sandboxLost" && event.sandbox === spec.id);
  assert.equal((await node.exit("told-later")).exitCode, 8);
  await node.assertNothingLeft();
  await second.removeSandbox(spec.id);
});

/** What an agent that was killed between two steps of a creation leaves. */
const halves: { name: string; make: (id: string, cgroup: string) => Promise<void> }[] = [
  { name: "nothing", make: async () => {} },
  {
    name: "the folder",
    make: async (id) => {
      mkdirSync(join(node.runDir, id), { recursive: true });
    },
  },
  {
    name: "the record half written",
    make: async (id) => {
      mkdirSync(join(node.runDir, id), { recursive: true });
      writeFileSync(join(node.runDir, id, ".sandbox.json"), '{"id":');
    },
  },
  { name: "the record", make: async (id, cgroup) => writeRecord(id, cgroup) },
  {
    name: "the pod's cgroup",
    make: async (id, cgroup) => {
      writeRecord(id, cgroup);
      await node.library.createCgroup(cgroup, {});
    },
  },
  {
    name: "both cgroups and a shim that nobody is connected to",
    make: async (id, cgroup) => {
      writeRecord(id, cgroup);
      await spawnShim(id, cgroup);
    },
  },
  {
    name: "a shim that was killed, with its socket and shared memory",
    make: async (id, cgroup) => {
      writeRecord(id, cgroup);
      const { pid } = await spawnShim(id, cgroup);
      process.kill(pid, "SIGKILL");
      await until("the shim is dead", () => !isAlive(pid));
    },
  },
  {
    name: "a cgroup of a container that was never started",
    make: async (id, cgroup) => {
      writeRecord(id, cgroup);
      await spawnShim(id, cgroup);
      await node.library.createCgroup(`${cgroup}/main`, {});
    },
  },
];

function writeRecord(id: string, cgroup: string): void {
  mkdirSync(join(node.runDir, id), { recursive: true });
  writeFileSync(join(node.runDir, id, "sandbox.json"), JSON.stringify({ id, cgroup }));
}

async function spawnShim(id: string, cgroup: string) {
  const shim = await node.library.spawnShim({
    shimPath: join(nativeDir, "tessera-shim"),
    argv: ["tessera-shim", "--id", id, "--run-dir", join(node.runDir, id), "--hostname", "half"],
    env: [],
    cgroup: { path: cgroup, resources: {} },
  });
  shim.connection.destroy();
  return shim;
}

for (const { name, make } of halves) {
  test(`removal after a crash that left ${name} leaves nothing, also twice`, async () => {
    const runtime = node.agent();
    const { id, cgroup } = node.sandbox();
    await make(id, cgroup);
    await runtime.removeSandbox(id);
    await node.assertNothingLeft();
    await runtime.removeSandbox(id);
  });

  test(`recovery after a crash that left ${name} lets the sandbox be made anew`, async () => {
    const runtime = node.agent();
    const spec = node.sandbox();
    await make(spec.id, spec.cgroup);
    const states = await runtime.recover(signal);
    if (states.length === 0) {
      await node.assertNothingLeft();
      await runtime.createSandbox(spec, signal);
    }
    await runtime.startContainer(spec.id, node.container(`anew-${spec.id}`, "exit 2"), signal);
    assert.equal((await node.exit(`anew-${spec.id}`)).exitCode, 2);
    await runtime.removeSandbox(spec.id);
    await node.assertNothingLeft();
  });
}

test("a shim that cannot start says why, and nothing of it stays", async () => {
  const runtime = node.agent();
  const spec = node.sandbox({ hostname: "x".repeat(100) });
  await assert.rejects(runtime.createSandbox(spec, signal), /set hostname: x+: Invalid argument/);
  await node.assertNothingLeft();
});

test("a removal in the middle of a start is the end of it", async () => {
  const runtime = node.agent();
  for (let ticks = 0; ticks < 10; ticks++) {
    const spec = node.sandbox();
    await runtime.createSandbox(spec, signal);
    const start = runtime.startContainer(spec.id, node.container(`removed-${ticks}`, ["sleep", "1000"]), signal);
    for (let tick = 0; tick < ticks; tick++) await new Promise((next) => setImmediate(next));
    await Promise.all([start.catch((error) => assert.ok(error instanceof RuntimeError)), runtime.removeSandbox(spec.id)]);
    await runtime.removeSandbox(spec.id);
    await node.assertNothingLeft();
  }
});

test("kill -9 of the shim at any moment of a start leaves nothing", async () => {
  const runtime = node.agent();
  for (let round = 0; round < 15; round++) {
    const spec = node.sandbox();
    const { pid } = await runtime.createSandbox(spec, signal);
    const start = runtime.startContainer(spec.id, node.container(`shot-${round}`, "sleep 1000 & sleep 1000"), signal);
    const deadline = performance.now() + round * 0.4;
    while (performance.now() < deadline) await new Promise((next) => setImmediate(next));
    process.kill(pid, "SIGKILL");
    await start.catch((error) => assert.ok(error instanceof RuntimeError));
    await node.event((event) => event.event === "sandboxLost" && event.sandbox === spec.id);
    await runtime.removeSandbox(spec.id);
    await node.assertNothingLeft();
  }
  assert.deepEqual(processesNaming(node.folder), []);
  assert.deepEqual(readdirSync(node.runDir), []);
});
