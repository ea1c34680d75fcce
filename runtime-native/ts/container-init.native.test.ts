import assert from "node:assert/strict";
import { accessSync, constants } from "node:fs";
import { describe, test } from "node:test";
import { podForTests } from "./container-fixture.ts";
import { Collected, hasController } from "./native-runtime-fixture.ts";
import type { ContainerSpec } from "./runtime.ts";
import { until } from "./testing/patience.ts";

const { node, runtime, signal, pod, nextId, run, assertRefused } = podForTests();
const init: Partial<ContainerSpec> = { init: true };
const pids = { skip: !hasController("pids") && "there is no pids controller" };

/** Five processes that end on /go without their parent, below a command that looks after none. */
const makeOrphans = "for i in 1 2 3 4 5; do (sh -c 'until test -e /go; do sleep 0.01; done' & ); done; touch /made; exec sleep 1000";
const countZombies = "cat /proc/[0-9]*/stat | sed 's/.*) //' | grep -c ^Z";

async function start(command: string | string[], changes: Partial<ContainerSpec> = {}, sandbox = pod.id): Promise<string> {
  const id = nextId();
  await runtime.startContainer(sandbox, node.container(id, command, changes), signal);
  return id;
}

async function exec(id: string, script: string, sandbox = pod.id): Promise<string> {
  const output = new Collected();
  await (await runtime.exec(sandbox, id, node.process(script), false, output, signal)).exited;
  return output.text.trim();
}

async function end(id: string, signalNumber: number) {
  await runtime.signalContainer(pod.id, id, signalNumber);
  const exit = await node.exit(id);
  await runtime.removeContainer(pod.id, id);
  return exit;
}

describe("an init", () => {
  test("is the first process, and the command's orphans leave no zombies", async () => {
    const without = await start(makeOrphans);
    const reaped = await start(makeOrphans, init);
    for (const id of [without, reaped]) {
      await until("the orphans are there", async () => (await exec(id, "ls /made")) === "/made");
      await exec(id, "touch /go");
    }
    await until("zombies without an init", async () => (await exec(without, countZombies)) === "5");
    // The command that counts is one of them.
    await until("the orphans' ends", async () => (await exec(reaped, "cat /proc/[0-9]*/comm | grep -cx sh")) === "1");
    assert.equal(await exec(reaped, countZombies), "0");
    assert.equal(await exec(reaped, "tr '\\0' ' ' < /proc/1/cmdline | cut -d' ' -f1; cat /proc/1/comm"), "tessera-init\ntessera-init");
    await end(without, 9);
    await end(reaped, 9);
  });

  test("hands signals on, also real-time ones and those a first process would not see", async () => {
    assert.equal((await end(await start(["sleep", "1000"], init), 15)).exitCode, 128 + 15);
    assert.equal((await end(await start(["sleep", "1000"], init), 34)).exitCode, 128 + 34);
    const trapping = await start("trap 'exit 7' USR1; echo ready; while :; do sleep 0.01; done", init);
    await until("it traps", () => node.output(trapping) === "ready\n");
    assert.equal((await end(trapping, 10)).exitCode, 7);
  });

  test("ends as the command does", async () => {
    for (const code of [0, 1, 42, 255]) assert.equal((await run(`exit ${code}`, init)).exitCode, code);
    assert.equal((await run("kill -9 $$", init)).exitCode, 137);
  });

  test("a kill ends all of it", async () => {
    const id = await start("(setsid sleep 8811 &); exec sleep 8812", init);
    const { exitCode, signal: by } = await end(id, 9);
    assert.deepEqual([exitCode, by], [137, 9]);
  });

  test("is the user that the command is, with its rights", async () => {
    const user = { uid: 1000, gid: 1000, additionalGids: [] };
    const process = node.process(
      "grep -E '^(Uid|Cap|Seccomp:|NoNew)' /proc/1/status > /tmp/1; grep -E '^(Uid|Cap|Seccomp:|NoNew)' /proc/self/status | diff /tmp/1 - && echo same; kill -TERM $$",
      { user },
    );
    const { text, exitCode } = await run("", { ...init, process });
    assert.deepEqual([text, exitCode], ["same\n", 143]);
    assert.equal((await run(["sh", "-c", "grep -c CapEff:.*a80425fb /proc/1/status"], init)).text, "1\n");
  });

  test("leaves the command its arguments, environment, descriptors and signals", async () => {
    const script = 'echo "$0 $1 $2"; env | grep -c GREETING=hi; ls /proc/self/fd | tr "\\n" " "';
    const process = node.process(["sh", "-c", script, "a b", "", "c"], { env: ["PATH=/bin", "GREETING=hi"] });
    const { text } = await run("", { ...init, process });
    // 3 is the folder that ls itself reads.
    assert.equal(text, "a b  c\n1\n0 1 2 3 \n");
    const signals = await run(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"], init);
    assert.equal(signals.text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    // The command may be there before init has closed what led to the shim.
    const own = await run("for i in $(seq 10000); do [ -e /proc/1/fd/3 ] || break; done; ls /proc/1/fd | tr '\\n' ' '", init);
    assert.equal(own.text, "0 1 2 \n");
  });

  test("hands the shim's program to nobody for writing", async () => {
    const id = nextId();
    const { pid } = await runtime.startContainer(pod.id, node.container(id, ["sleep", "1000"], init), signal);
    assert.throws(() => accessSync(`/proc/${pid}/exe`, constants.W_OK), { code: "EROFS" });
    await end(id, 9);
  });

  test("a command that cannot be run is refused as without one", async () => {
    await assertRefused("CommandNotFound", /^exec: \/bin\/nothing: no such file/, ["/bin/nothing"], init);
    await assertRefused("CommandNotFound", /^exec: nothing: no such file/, ["nothing"], init);
    await assertRefused("CommandNotExecutable", /^exec: \/bin\/not-executable: permission denied/, ["/bin/not-executable"], init);
  });

  test("on a terminal what is typed is meant for the command", async () => {
    const script =
      "tty; : < /dev/tty && echo controlling; read line; echo got $line; trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.01; done";
    const id = await start("", { ...init, process: node.process(script, { terminal: true }), stdin: true });
    const session = await runtime.attach(pod.id, id, new Collected(), signal);
    await until("it reads", () => node.output(id).includes("controlling"));
    await session.write(Buffer.from("word\n"));
    await until("it waits for a signal", () => node.output(id).includes("ready"));
    await session.write(Buffer.from("\x03"));
    const { exitCode } = await node.exit(id);
    await runtime.removeContainer(pod.id, id);
    const text = node.output(id).replaceAll("\r", "");
    assert.match(text, /^\/dev\/pts\/0\ncontrolling\n/);
    assert.match(text, /got word\n/);
    assert.match(text, /interrupted\n$/);
    assert.equal(exitCode, 3);
  });

  test("stdin is the command's", async () => {
    const id = await start("cat; exit 5", { ...init, stdin: true });
    const session = await runtime.attach(pod.id, id, new Collected(), signal, { endsStdin: true });
    await session.write(Buffer.from("through\n"));
    session.closeStdin();
    assert.equal((await node.exit(id)).exitCode, 5);
    assert.equal(node.output(id), "through\n");
    await runtime.removeContainer(pod.id, id);
  });

  test("is not there where somebody else reaps", async () => {
    const { text } = await run("cat /proc/1/comm; cat /proc/$PPID/comm", {
      init: true,
      pid: "host",
    });
    assert.doesNotMatch(text, /tessera-init/);
  });
});

test("zombies that nobody reaps fill the pod's own limit, not the node", pids, async () => {
  const spec = node.sandbox({ resources: { pidsLimit: 40 } });
  await runtime.createSandbox(spec, signal);
  const fork = "i=0; while [ $i -lt 100 ]; do (: &); i=$((i+1)); done";
  const script = `(sh -c '${fork}' &); exec sleep 1000`;
  const id = await start(script, {}, spec.id);
  const neighbour = await start(["sleep", "1000"]);
  const members = async () => (await node.library.cgroupUsage(spec.cgroup)).pids ?? 0;
  await until("the pod has come to its limit", async () => (await members()) >= 35);
  assert.ok((await members()) <= 40);
  assert.equal(await exec(neighbour, "echo forks"), "forks", "others fork on");
  await end(neighbour, 9);
  await runtime.signalContainer(spec.id, id, 9);
  await node.exit(id);
  await runtime.removeSandbox(spec.id);
});
