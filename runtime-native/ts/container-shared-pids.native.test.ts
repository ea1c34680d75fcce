import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { NativeRuntime } from "./native-runtime.ts";
import { Collected, hasController, Node } from "./native-runtime-fixture.ts";
import { type ContainerSpec, RuntimeError } from "./runtime.ts";
import { rounds, until } from "./testing/patience.ts";

const node = new Node();
const runtime = node.agent();
const signal = AbortSignal.timeout(600_000);
const pod = node.sandbox({ sharePids: true });
const pids = { skip: !hasController("pids") && "there is no pids controller" };
let count = 0;

before(() => runtime.createSandbox(pod, signal));
after(async () => {
  await runtime.removeSandbox(pod.id);
  await node.close();
});

const shared: Partial<ContainerSpec> = { pid: "pod" };

async function start(sandbox: string, command: string | string[], changes: Partial<ContainerSpec> = {}, agent = runtime) {
  const id = `c${++count}`;
  return await agent.startContainer(sandbox, node.container(id, command, { ...shared, ...changes }), signal);
}

/** Runs a command to its end and returns what it wrote. */
async function run(command: string | string[], changes: Partial<ContainerSpec> = {}): Promise<string> {
  const { id } = await start(pod.id, command, changes);
  await node.exit(id);
  await runtime.removeContainer(pod.id, id);
  return node.output(id);
}

async function exec(container: string, script: string, sandbox = pod.id, agent: NativeRuntime = runtime): Promise<string> {
  const output = new Collected();
  const session = await agent.exec(sandbox, container, node.process(script), false, output, signal);
  await session.exited;
  return output.text;
}

async function stop(id: string): Promise<void> {
  await runtime.signalContainer(pod.id, id, 9);
  await node.exit(id);
  await runtime.removeContainer(pod.id, id);
}

/** Command lines of all processes that the container's commands can see, by their pids there. */
const list = "for p in /proc/[0-9]*; do echo $(echo $p | cut -c7-) $(tr '\\0' ' ' < $p/cmdline); done";

test("containers see each other's processes below a first process that is none of theirs", async () => {
  const { id } = await start(pod.id, ["sleep", "1234"]);
  const lines = (await run(`echo self $$; ${list}`)).trim().split("\n");
  assert.ok(lines.includes("1 pause"), lines.join("\n"));
  assert.ok(
    lines.some((line) => /^\d+ sleep 1234$/.test(line)),
    lines.join("\n"),
  );
  assert.notEqual(lines[0], "self 1");
  await stop(id);
});

test("each keeps its own root, cgroup, exit code and signal", async () => {
  const three = await start(pod.id, "echo mine > /own; grep -c memory /proc/self/cgroup > /dev/null; exit 3");
  const killed = await start(pod.id, "kill -USR1 $$");
  assert.equal((await node.exit(three.id)).exitCode, 3);
  const { exitCode, signal: by } = await node.exit(killed.id);
  assert.deepEqual([exitCode, by], [128 + 10, 10]);
  assert.equal(await run("ls /own 2>/dev/null; echo looked"), "looked\n");
  for (const { id } of [three, killed]) await runtime.removeContainer(pod.id, id);
});

test("an exec is in the shared namespace, with its container's root and cgroup", async () => {
  const { id } = await start(pod.id, ["sleep", "2345"]);
  const other = await start(pod.id, "touch /other; exec sleep 3456");
  const namespace = "readlink /proc/self/ns/pid";
  assert.equal(await exec(id, namespace), await exec(other.id, namespace));
  assert.equal(await exec(other.id, "ls /other"), "/other\n");
  const text = await exec(id, `ls /other; cat /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs | grep -cx $$; ${list}`);
  assert.match(text, /^[1-9]/, "it is in the cgroup that the container sees");
  assert.match(text, /sleep 2345/);
  assert.match(text, /sleep 3456/);
  await stop(id);
  await stop(other.id);
});

test("what a container leaves running is reaped when it ends", async () => {
  const { id } = await start(pod.id, "for i in 1 2 3 4 5; do (sleep 0 & ); done; exec sleep 4567");
  const states = "cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | cut -c1 | tr -d '\\n'";
  await until("its orphans are gone", async () => !(await exec(id, list)).includes("sleep 0"));
  assert.doesNotMatch(await exec(id, states), /Z/);
  await stop(id);
});

test("a container that is killed takes all of its processes along, and none of the others'", async () => {
  const other = await start(pod.id, "(setsid sleep 5551 &); exec sleep 5552");
  const { id } = await start(pod.id, "(setsid sleep 6661 &); (sleep 6662 &); exec sleep 6663");
  await until("all are there", async () => (await exec(other.id, list)).match(/sleep (555|666)/g)?.length === 5);
  await stop(id);
  await until("its processes are gone", async () => !(await exec(other.id, list)).includes("sleep 666"));
  assert.equal((await exec(other.id, list)).match(/sleep 555/g)?.length, 2);
  const again = await start(pod.id, ["sleep", "7777"]);
  assert.match(await exec(other.id, list), /sleep 7777/);
  await stop(again.id);
  await stop(other.id);
});

test("a container whose orphans fork on and on is killed and removed whole, beside one that lives on", pids, async () => {
  const other = await start(pod.id, ["sleep", "5553"]);
  const forking = "for i in 1 2 3 4; do (sh -c 'while :; do (: &) 2>/dev/null; done' &); done; exec sleep 6664";
  const { id } = await start(pod.id, forking, { resources: { pidsLimit: 30 } });
  await until("it forks", async () => ((await node.library.cgroupUsage(`${pod.cgroup}/${id}`)).pids ?? 0) > 5);
  await stop(id);
  assert.deepEqual(await node.containerCgroups(pod.cgroup), [other.id]);
  const left = await exec(other.id, list);
  assert.match(left, /sleep 5553/);
  assert.doesNotMatch(left, /while|6664/);
  await stop(other.id);
});

test("a terminal is the container's own", async () => {
  const process = node.process("tty; test -c /dev/console && echo console; : < /dev/tty && echo controlling; kill -HUP $$", {
    terminal: true,
  });
  const { id } = await start(pod.id, "", { process, stdin: true });
  assert.equal((await node.exit(id)).signal, 1);
  assert.equal(node.output(id).replaceAll("\r", ""), "/dev/pts/0\nconsole\ncontrolling\n");
  await runtime.removeContainer(pod.id, id);
});

test("a command that cannot be run is refused as in a namespace of its own", async () => {
  for (const [command, reason] of [
    ["/bin/nothing", "CommandNotFound"],
    ["/bin/not-executable", "CommandNotExecutable"],
  ] as const)
    await assert.rejects(start(pod.id, [command]), (error) => error instanceof RuntimeError && error.reason === reason);
  await assert.rejects(start(pod.id, "true", { process: node.process("true", { cwd: "/proc/1/cwd" }) }), /working directory/);
  assert.deepEqual(
    (await node.library.listCgroups(pod.cgroup)).filter((name) => name.startsWith("c")),
    [],
  );
});

test("a start that is cancelled at any moment leaves nothing", async () => {
  for (let round = 0; round < 40; round++) {
    const id = `cancelled${round}`;
    const cancel = new AbortController();
    const starting = runtime.startContainer(pod.id, node.container(id, ["sleep", "8888"], shared), cancel.signal);
    const delayed = new Promise((resolve) => setTimeout(resolve, round / 5));
    await Promise.race([delayed, starting.catch(() => {})]);
    cancel.abort();
    await starting.then(
      () => stop(id),
      (error) => assert.ok(error instanceof RuntimeError && error.reason === "Cancelled", String(error)),
    );
  }
  const { id } = await start(pod.id, ["sleep", "9999"]);
  assert.doesNotMatch(await exec(id, list), /8888/);
  assert.deepEqual(await node.containerCgroups(pod.cgroup), [id]);
  await stop(id);
});

test("neither the first process nor a container that is being started shows the node to others", async () => {
  const canary = join(node.folder, "canary");
  writeFileSync(canary, "");
  // Whoever may look into any process of the namespace, looks as fast as it can.
  const spy = await start(
    pod.id,
    `while :; do for p in /proc/[0-9]*; do for f in /visible ${canary}; do test -e $p/root$f && echo $f; done; done; done`,
    { capabilities: ["SYS_PTRACE", "KILL", "DAC_OVERRIDE"], seccomp: "Unconfined" },
  );
  for (let round = 0; round < rounds(30); round++) {
    await run("touch /visible");
    await exec(spy.id, "true");
  }
  const look =
    "ls -A /proc/1/root/ | wc -l; ls /proc/1/fd | wc -l; kill -9 1; kill -TERM 1; grep -E '^(Uid|CapBnd|Seccomp:)' /proc/1/status";
  const [entries, descriptors, uid, caps, seccomp] = (await exec(spy.id, look)).trim().split("\n");
  assert.deepEqual([entries, descriptors], ["0", "3"]);
  assert.match(uid ?? "", /^Uid:\s+65535\s/);
  assert.match(caps ?? "", /0{16}$/);
  assert.match(seccomp ?? "", /2$/);
  await stop(spy.id);
  assert.deepEqual([...new Set(node.output(spy.id).trim().split("\n"))], ["/visible"]);
});

test("another agent finds the containers, and the exit of one", async () => {
  const spec = node.sandbox({ sharePids: true });
  const first = node.agent();
  await first.createSandbox(spec, signal);
  const stays = await start(spec.id, ["sleep", "1111"], {}, first);
  const ends = await start(spec.id, ["sleep", "2222"], {}, first);
  await first.close();
  process.kill(ends.pid, "SIGTERM");
  await until("its exit is written down", () => existsSync(join(node.runDir, spec.id, `${ends.id}.exit`)));
  const second = node.agent();
  const [state] = (await second.recover(signal)).filter(({ id }) => id === spec.id);
  assert.deepEqual(
    state?.containers.find(({ id }) => id === stays.id),
    stays,
  );
  const exit = state?.containers.find(({ id }) => id === ends.id);
  assert.ok(exit?.phase === "exited" && exit.signal === 15);
  assert.match(await exec(stays.id, list, spec.id, second), /1 pause/);
  await second.removeSandbox(spec.id);
});

/** The pid on the node of the first process of the sandbox's namespace. */
function pausePid(shimPid: number): number {
  const children = readFileSync(`/proc/${shimPid}/task/${shimPid}/children`, "utf8").trim().split(" ").map(Number);
  const pid = children.find((child) => readFileSync(`/proc/${child}/cmdline`, "utf8") === "pause\0");
  assert.ok(pid !== undefined, `the shim has a pause among ${children}`);
  return pid;
}

test("the end of the first process is the end of the sandbox, and told as that", async () => {
  const spec = node.sandbox({ sharePids: true });
  const { pid } = await runtime.createSandbox(spec, signal);
  const { id } = await start(spec.id, ["sleep", "3333"]);
  process.kill(pausePid(pid), "SIGKILL");
  const exit = await node.exit(id);
  assert.deepEqual([exit.exitCode, exit.signal, exit.oomKilled], [137, 9, false]);
  await node.event((event) => event.event === "sandboxLost" && event.sandbox === spec.id);
  await runtime.removeSandbox(spec.id);
  assert.equal(existsSync(join(node.runDir, spec.id)), false);
  const again = await runtime.createSandbox(spec, signal);
  assert.notEqual(again.pid, pid);
  await runtime.removeSandbox(spec.id);
});

test("a killed shim takes the namespace along", async () => {
  const spec = node.sandbox({ sharePids: true });
  const { pid } = await runtime.createSandbox(spec, signal);
  await start(spec.id, "(setsid sleep 4441 &); exec sleep 4442");
  process.kill(pid, "SIGKILL");
  await node.event((event) => event.event === "sandboxLost" && event.sandbox === spec.id);
  await runtime.removeSandbox(spec.id);
  assert.equal(existsSync(join(node.runDir, spec.id)), false);
});

test("a pod that shares no processes refuses such a container", async () => {
  const spec = node.sandbox();
  await runtime.createSandbox(spec, signal);
  await assert.rejects(start(spec.id, "true"), (error) => error instanceof RuntimeError && error.reason === "InvalidArgument");
  await runtime.removeSandbox(spec.id);
});
