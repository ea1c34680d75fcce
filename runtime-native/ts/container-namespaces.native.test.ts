import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { bind, podForTests } from "./container-fixture.ts";
import { Collected } from "./native-runtime-fixture.ts";
import { RuntimeError } from "./runtime.ts";
import { until } from "./testing/patience.ts";

const { node, runtime, signal, pod, shimPid, run, host } = podForTests();

describe("what a pod shares", () => {
  test("containers of a pod share network, ipc, uts and shared memory, not processes or files", async () => {
    await runtime.startContainer(
      pod.id,
      node.container("server", "echo secret > /dev/shm/word; nc -l -p 8080 -e /bin/echo hi; sleep 1000"),
      signal,
    );
    const script =
      "until nc 127.0.0.1 8080 </dev/null; do :; done; hostname; cat /dev/shm/word; for n in net ipc uts pid mnt cgroup; do readlink /proc/self/ns/$n; done";
    const client = await run(script);
    const output = new Collected();
    const look = node.process("for n in net ipc uts pid mnt cgroup; do readlink /proc/1/ns/$n; done");
    await (await runtime.exec(pod.id, "server", look, false, output, signal)).exited;
    const [greeting, hostname, word, ...mine] = client.text.trim().split("\n");
    const theirs = output.text.trim().split("\n");
    assert.deepEqual([greeting, hostname, word], ["hi", "test-pod", "secret"]);
    assert.deepEqual(mine.slice(0, 3), theirs.slice(0, 3));
    for (const index of [3, 4, 5]) assert.notEqual(mine[index], theirs[index]);
    await runtime.signalContainer(pod.id, "server", 9);
    await node.exit("server");
    await runtime.removeContainer(pod.id, "server");
  });

  test("the pod's sysctls are set, and the node's are not touched", async () => {
    const { text } = await run("cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/shmmni");
    assert.equal(text, "77\n123\n");
    assert.notEqual(readFileSync("/proc/sys/net/ipv4/ip_default_ttl", "utf8").trim(), "77");
    assert.notEqual(readFileSync("/proc/sys/kernel/shmmni", "utf8").trim(), "123");
  });

  for (const [name, value] of [
    ["kernel.core_pattern", "|/bin/evil"],
    ["vm.swappiness", "1"],
    ["net/../kernel/core_pattern", "x"],
  ] as const)
    test(`the sysctl ${name} is refused, and nothing of the sandbox stays`, async () => {
      const spec = node.sandbox({ sysctls: { [name]: value } });
      await assert.rejects(runtime.createSandbox(spec, signal), (error) => error instanceof RuntimeError && error.message.includes(name));
      assert.equal(existsSync(join(node.runDir, spec.id)), false);
      assert.ok(!(await node.library.listCgroups()).includes(spec.cgroup));
      assert.notEqual(readFileSync("/proc/sys/kernel/core_pattern", "utf8").trim(), value);
    });

  test("with the node's network the pod may not set network sysctls", async () => {
    const spec = node.sandbox({ sysctls: { "net.ipv4.ip_default_ttl": "78" } });
    await assert.rejects(runtime.createSandbox(spec, signal), /net\.ipv4\.ip_default_ttl/);
    assert.notEqual(readFileSync("/proc/sys/net/ipv4/ip_default_ttl", "utf8").trim(), "78");
  });

  test("with the node's pid namespace a container sees the node and leaves no process behind", async () => {
    const { text } = await run("sleep 4567 & cat /proc/$$/stat | cut -d' ' -f1", { pid: "host" });
    assert.notEqual(text.trim(), "1");
    await until("its background process is gone", () => !execFileSync("ps", ["-eo", "args"], { encoding: "utf8" }).includes("sleep 4567"));
  });
});

describe("the node's namespaces", () => {
  test("with the node's pid namespace a container cannot look into the shim", async () => {
    const script = `cd /proc/${shimPid()} && { readlink exe; readlink root; for f in fd/*; do readlink $f; done; cat environ; cat maps; head -c 1 mem; } 2>/dev/null; echo looked`;
    assert.equal((await run(script, { pid: "host" })).text, "looked\n");
  });

  test("with the node's ipc namespace it shares the node's shared memory", async () => {
    const spec = node.sandbox({ hostIpc: true });
    await runtime.createSandbox(spec, signal);
    await runtime.startContainer(spec.id, node.container("host-ipc", "readlink /proc/self/ns/ipc; stat -c %d /dev/shm"), signal);
    await node.exit("host-ipc");
    assert.equal(node.output("host-ipc"), `${readlinkSync("/proc/self/ns/ipc")}\n${statSync("/dev/shm").dev}\n`);
    await runtime.removeSandbox(spec.id);
  });

  test("mount events reach a container as its mounts' propagation says", async () => {
    const source = host("propagation");
    execFileSync("mount", ["-t", "tmpfs", "none", source]);
    execFileSync("mount", ["--make-shared", source]);
    mkdirSync(join(source, "late"));
    mkdirSync(join(source, "back"));
    try {
      const id = "propagation";
      const mounts = [
        bind(source, "/slave", { propagation: "rslave" }),
        bind(source, "/private"),
        bind(source, "/shared", { propagation: "rshared" }),
      ];
      await runtime.startContainer(pod.id, node.container(id, ["sleep", "1000"], { mounts, privileged: true }), signal);
      execFileSync("mount", ["-t", "tmpfs", "none", join(source, "late")]);
      writeFileSync(join(source, "late/file"), "");
      const output = new Collected();
      const script =
        "for d in slave private shared; do test -e /$d/late/file && echo $d; done; mount -t tmpfs none /shared/back && echo mounted";
      await (await runtime.exec(pod.id, id, node.process(script), false, output, signal)).exited;
      assert.equal(output.text, "slave\nshared\nmounted\n");
      assert.ok(readFileSync("/proc/self/mountinfo", "utf8").includes(` ${join(source, "back")} `));
      await runtime.signalContainer(pod.id, id, 9);
      await node.exit(id);
      await runtime.removeContainer(pod.id, id);
    } finally {
      execFileSync("umount", ["-R", source]);
    }
  });
});
