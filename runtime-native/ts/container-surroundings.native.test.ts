import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { podForTests } from "./container-fixture.ts";
import { hasController } from "./native-runtime-fixture.ts";

const { node, runtime, signal, pod, run } = podForTests();
const memory = { skip: !hasController("memory") && "there is no memory controller" };
const pids = { skip: !hasController("pids") && "there is no pids controller" };

describe("what a container sees of the system", () => {
  test("its devices are the usual ones", async () => {
    const { text } = await run("cd /dev; for f in *; do test -L $f && echo \"$f -> $(readlink $f)\" || stat -c '%n %F %t:%T %a' $f; done");
    assert.deepEqual(text.trim().split("\n"), [
      "fd -> /proc/self/fd",
      "full character special file 1:7 666",
      "mqueue directory 0:0 1777",
      "null character special file 1:3 666",
      "ptmx -> pts/ptmx",
      "pts directory 0:0 755",
      "random character special file 1:8 666",
      "shm directory 0:0 1777",
      "stderr -> /proc/self/fd/2",
      "stdin -> /proc/self/fd/0",
      "stdout -> /proc/self/fd/1",
      "tty character special file 5:0 666",
      "urandom character special file 1:9 666",
      "zero character special file 1:5 666",
    ]);
  });

  test("a device that it makes itself cannot be opened", async () => {
    const { text } = await run("mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk 2>&1; mknod /dev/mem2 c 1 1 && head -c 1 /dev/mem2 2>&1");
    assert.match(text, /disk: Operation not permitted[\s\S]*mem2: Operation not permitted/);
  });

  test("the kernel's secrets and switches are hidden or read-only", async () => {
    const script = `
      for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts /proc/kmsg; do test -e $f && test -n "$(head -c 1 $f 2>/dev/null)" && echo "read $f"; done
      for d in /proc/acpi /proc/scsi /sys/firmware /proc/bus/pci; do test -d $d && test -n "$(ls $d)" && echo "listed $d"; done
      for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/irq/default_smp_affinity /sys/kernel/mm/ksm/run /sys/kernel/uevent_helper; do
        test -e $f && (echo x > $f) 2>/dev/null && echo "wrote $f"
      done
      mkdir /sys/fs/cgroup/x 2>/dev/null && echo "made a cgroup"
      mkdir /sys/fs/cgroup/memory/x 2>/dev/null && echo "made a memory cgroup"
      echo looked`;
    assert.equal((await run(script)).text, "looked\n");
  });

  test("nothing of /proc or /sys that matters is writable", async () => {
    const { text } = await run(
      'find /proc /sys -path \'/proc/[0-9]*\' -prune -o -path /proc/self -prune -o -path /proc/thread-self -prune -o ! -type l -perm /222 -print 2>/dev/null | while read f; do { true >> "$f"; } 2>/dev/null && echo "$f"; done',
    );
    // The hidden files are /dev/null, which anybody may write.
    const expected = /^\/proc\/(kcore|keys|kmsg|interrupts|latency_stats|sched_debug|timer_list|timer_stats|net\/.*|pressure\/\w+)$/;
    assert.deepEqual(
      text.split("\n").filter((path) => path !== "" && !expected.test(path)),
      [],
    );
  });

  test("its mount table is what the runtime made, entry by entry", async () => {
    const { text } = await run("awk '{print $5, $6, $(NF-2)}' /proc/self/mountinfo");
    const table = text
      .trim()
      .split("\n")
      .filter((line) => !line.startsWith("/proc/") && !line.startsWith("/sys/"));
    assert.deepEqual(table, [
      "/ rw,relatime overlay",
      "/proc rw,nosuid,nodev,noexec,relatime proc",
      "/sys ro,nosuid,nodev,noexec,relatime sysfs",
      "/dev rw,nosuid,relatime tmpfs",
      "/dev/pts rw,nosuid,noexec,relatime devpts",
      "/dev/mqueue rw,nosuid,nodev,noexec,relatime mqueue",
      "/dev/shm rw,nosuid,nodev,noexec,relatime tmpfs",
    ]);
    for (const line of text
      .trim()
      .split("\n")
      .filter((entry) => entry.startsWith("/sys/")))
      assert.match(line, / ro,/);
  });

  test("its own cgroups are at /sys/fs/cgroup and say its limits", memory, async () => {
    const { text } = await run(
      "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; cat /proc/self/cgroup",
      {
        resources: { memoryLimitBytes: 64 * 1024 * 1024 },
      },
    );
    assert.match(text, /^67108864\n/);
    assert.ok(!text.includes(node.cgroupRoot), text);
  });

  test("a privileged container has all capabilities, devices and a writable /sys", async () => {
    const script =
      "grep -E '^(CapEff|Seccomp:)' /proc/self/status; awk '$5==\"/sys\" {print $6}' /proc/self/mountinfo; ls /dev | wc -l; test -b /dev/vda -o -c /dev/kmsg && echo device; awk '$5 ~ /^.proc.+/' /proc/self/mountinfo | wc -l";
    const { text } = await run(script, { privileged: true, seccomp: "RuntimeDefault", noNewPrivileges: false });
    const own = /CapEff:\s+(\w+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    const [caps, seccomp, sys, devices, device, masks] = text.trim().split("\n");
    assert.equal(caps, `CapEff:\t${own}`);
    assert.equal(seccomp, "Seccomp:\t0");
    assert.match(sys ?? "", /^rw/);
    assert.ok(Number(devices) > 14);
    assert.equal(device, "device");
    assert.equal(masks, "0");
  });
});

describe("limits", () => {
  test("a container over its memory limit is killed and the state says why", memory, async () => {
    const id = "hungry";
    await runtime.startContainer(
      pod.id,
      node.container(id, ["sh", "-c", "tail -c 200m /dev/zero"], { resources: { memoryLimitBytes: 16 * 1024 * 1024 } }),
      signal,
    );
    const exit = await node.exit(id);
    assert.equal(exit.oomKilled, true);
    await runtime.removeContainer(pod.id, id);
  });

  test("a first process that is killed for its memory exits with 137", memory, async () => {
    const id = "hungry-first";
    await runtime.startContainer(
      pod.id,
      node.container(id, ["tail", "-c", "200m", "/dev/zero"], { resources: { memoryLimitBytes: 16 * 1024 * 1024 } }),
      signal,
    );
    const { exitCode, signal: killedBy, oomKilled } = await node.exit(id);
    assert.deepEqual({ exitCode, killedBy, oomKilled }, { exitCode: 137, killedBy: 9, oomKilled: true });
    await runtime.removeContainer(pod.id, id);
  });

  test("a limit on processes holds", pids, async () => {
    const { text } = await run("for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done 2>&1; echo end", { resources: { pidsLimit: 5 } });
    assert.match(text, /fork/);
  });

  test("the oom score is the given one", async () => {
    assert.equal((await run("cat /proc/self/oom_score_adj", { oomScoreAdj: 987 })).text, "987\n");
  });
});
