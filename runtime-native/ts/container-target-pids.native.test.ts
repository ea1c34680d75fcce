import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Node } from "./native-runtime-fixture.ts";
import { type ContainerSpec, RuntimeError } from "./runtime.ts";
import { until } from "./testing/patience.ts";

const node = new Node();
const runtime = node.agent();
const signal = AbortSignal.timeout(600_000);
const pod = node.sandbox();
let count = 0;

before(() => runtime.createSandbox(pod, signal));
after(async () => {
  await runtime.removeSandbox(pod.id);
  await node.close();
});

async function start(command: string | string[], changes: Partial<ContainerSpec> = {}) {
  const id = `c${++count}`;
  return await runtime.startContainer(pod.id, node.container(id, command, changes), signal);
}

/** Runs a command that sees the target's processes to its end, and returns what it wrote. */
async function look(target: string, script: string): Promise<string> {
  const { id } = await start(script, { pid: { container: target } });
  await node.exit(id);
  await runtime.removeContainer(pod.id, id);
  return node.output(id);
}

async function stop(id: string): Promise<void> {
  await runtime.signalContainer(pod.id, id, 9);
  await node.exit(id);
  await runtime.removeContainer(pod.id, id);
}

test("a container sees the processes of its target, and the target its", async () => {
  const { id } = await start("while ! grep -qs 'sleep.432[1]' /proc/[0-9]*/cmdline; do sleep 0.02; done; echo seen; exec sleep 1234");
  const helper = await start(["sleep", "4321"], { pid: { container: id } });
  await until("the target sees it", () => node.output(id).includes("seen"));
  const list = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done";
  const lines = (await look(id, `${list}; readlink /proc/self/ns/pid; readlink /proc/1/ns/pid; echo self $$`)).trim().split("\n");
  assert.ok(lines.includes("sleep 4321 "), lines.join("\n"));
  const namespaces = lines.filter((line) => line.startsWith("pid:"));
  assert.equal(namespaces.length, 2);
  assert.equal(new Set(namespaces).size, 1);
  assert.notEqual(lines.at(-1), "self 1");
  await stop(helper.id);
  await stop(id);
});

test("its root and what is hidden in /proc are its own", async () => {
  const { id } = await start("touch /target; exec sleep 1234");
  const text = await look(
    id,
    "ls /target 2>/dev/null; cat /proc/kcore 2>/dev/null | wc -c; echo x > /proc/sys/kernel/domainname || echo refused",
  );
  assert.match(text, /^0\n[\s\S]*refused\n$/);
  assert.equal(await look(id, "ls /proc/1/root/target"), "/proc/1/root/target\n");
  await stop(id);
});

test("it ends by itself without its target, with its own exit code, and leaves nothing behind", async () => {
  const { id } = await start(["sleep", "1234"]);
  const helper = await start("(sleep 777 &) ; exit 3", { pid: { container: id } });
  assert.equal((await node.exit(helper.id)).exitCode, 3);
  await runtime.removeContainer(pod.id, helper.id);
  assert.equal(await look(id, "grep -ls 'sleep.77[7]' /proc/[0-9]*/cmdline | wc -l"), "0\n");
  await stop(id);
});

test("it ends with its target", async () => {
  const { id } = await start(["sleep", "1234"]);
  const helper = await start(["sleep", "4321"], { pid: { container: id } });
  await runtime.signalContainer(pod.id, id, 9);
  assert.equal((await node.exit(helper.id)).signal, 9);
  await node.exit(id);
  for (const each of [id, helper.id]) await runtime.removeContainer(pod.id, each);
});

test("a target that does not run is told", async () => {
  const { id } = await start("exit 0");
  await node.exit(id);
  for (const target of [id, "nobody"]) {
    await assert.rejects(start(["true"], { pid: { container: target } }), (error) => {
      assert.ok(error instanceof RuntimeError);
      assert.equal(error.reason, "NotFound");
      assert.match(error.message, new RegExp(`processes of container.*${target}`));
      return true;
    });
  }
  await runtime.removeContainer(pod.id, id);
});
