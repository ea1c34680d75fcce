import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Collected, hasController, Node, nativeDir, until } from "./native-runtime-fixture.ts";
import { type ContainerSpec, type Mount, RuntimeError, type RuntimeErrorReason } from "./runtime.ts";

const node = new Node();
const runtime = node.agent();
const signal = AbortSignal.timeout(120_000);
const netns = `tsrt${process.pid}`;
const pod = node.sandbox({
  network: { kind: "netns", path: `/run/netns/${netns}` },
  sysctls: { "net.ipv4.ip_default_ttl": "77", "kernel.shmmni": "123" },
});
let count = 0;
let shimPid = 0;
const memory = { skip: !hasController("memory") && "there is no memory controller" };
const pids = { skip: !hasController("pids") && "there is no pids controller" };

before(async () => {
  execFileSync("ip", ["netns", "add", netns]);
  execFileSync("ip", ["-n", netns, "link", "set", "lo", "up"]);
  shimPid = (await runtime.createSandbox(pod, signal)).pid;
});
after(async () => {
  await runtime.removeSandbox(pod.id);
  execFileSync("ip", ["netns", "del", netns]);
  await node.close();
});

/** Runs a command to its end and returns what it wrote. */
async function run(
  command: string | string[],
  changes: Partial<ContainerSpec> = {},
): Promise<{ text: string; exitCode: number; id: string }> {
  const id = `c${++count}`;
  await runtime.startContainer(pod.id, node.container(id, command, changes), signal);
  const exit = await node.exit(id);
  await runtime.removeContainer(pod.id, id);
  return { text: node.output(id), exitCode: exit.exitCode, id };
}

async function assertRefused(
  reason: RuntimeErrorReason,
  message: RegExp,
  command: string | string[],
  changes: Partial<ContainerSpec> = {},
) {
  const id = `c${++count}`;
  await assert.rejects(runtime.startContainer(pod.id, node.container(id, command, changes), signal), (error) => {
    assert.ok(error instanceof RuntimeError);
    assert.equal(error.reason, reason, error.message);
    assert.match(error.message, message);
    return true;
  });
  assert.ok(!(await node.library.listCgroups(pod.cgroup)).includes(id), "no cgroup of it stays");
}

function bind(source: string, destination: string, changes: Partial<Mount> = {}): Mount {
  return { type: "bind", source, destination, readOnly: false, recursive: true, propagation: "private", ...changes };
}

function host(name: string, content?: string): string {
  const path = join(node.folder, "host", name);
  mkdirSync(join(path, ".."), { recursive: true });
  if (content === undefined) mkdirSync(path, { recursive: true });
  else writeFileSync(path, content);
  return path;
}

describe("what a process is", () => {
  test("it is pid 1 of its own pid namespace and sees no others", async () => {
    const { text } = await run("echo $$; ls -d /proc/[0-9]* | wc -l");
    assert.match(text, /^1\n[1-4]\n$/);
  });

  test("it gets its environment, working directory, user and groups, and nothing else", async () => {
    const spec = node.process("env; pwd; id; umask", {
      env: ["PATH=/bin", "GREETING=hällo wörld", "EMPTY="],
      cwd: "/made/for/it",
      user: { uid: 1000, gid: 2000, additionalGids: [3000, 4000] },
    });
    const { text } = await run("", { process: spec });
    const lines = text.trim().split("\n");
    assert.deepEqual(lines.filter((line) => /^[A-Z]+=/.test(line) && !line.startsWith("PWD=") && !line.startsWith("SHLVL=")).toSorted(), [
      "EMPTY=",
      "GREETING=hällo wörld",
      "PATH=/bin",
    ]);
    assert.equal(lines.at(-3), "/made/for/it");
    assert.equal(lines.at(-2), "uid=1000(user) gid=2000 groups=3000,4000");
    assert.equal(lines.at(-1), "0022");
  });

  test("root has the given capabilities, none of them inheritable or ambient, no new privileges and a filter", async () => {
    const { text } = await run("grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status");
    const caps = "00000000a80425fb";
    const none = "0000000000000000";
    assert.equal(
      text,
      `CapInh:\t${none}\nCapPrm:\t${caps}\nCapEff:\t${caps}\nCapBnd:\t${caps}\nCapAmb:\t${none}\nNoNewPrivs:\t1\nSeccomp:\t2\n`,
    );
  });

  test("a user has no capabilities, also when more are given and new privileges are allowed", async () => {
    const process = node.process("grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status", {
      user: { uid: 1000, gid: 1000, additionalGids: [] },
    });
    const { text } = await run("", { process, capabilities: ["NET_ADMIN", "CHOWN"], noNewPrivileges: false });
    const none = "0000000000000000";
    assert.equal(
      text,
      `CapInh:\t${none}\nCapPrm:\t${none}\nCapEff:\t${none}\nCapBnd:\t0000000000001001\nCapAmb:\t${none}\nNoNewPrivs:\t0\nSeccomp:\t2\n`,
    );
  });

  test("it has descriptors 0, 1 and 2 and no other", async () => {
    const { text } = await run("ls /proc/self/fd | tr '\\n' ' '; readlink /proc/self/fd/0");
    // 3 is the folder that ls itself reads.
    assert.equal(text, "0 1 2 3 /dev/null\n");
  });

  test("its signals are not blocked or ignored", async () => {
    const { text } = await run(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    assert.equal(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
  });

  test("a user may open its own output again", async () => {
    const process = node.process("echo again > /dev/stdout", { user: { uid: 1000, gid: 1000, additionalGids: [] } });
    assert.deepEqual(await run("", { process }).then(({ text, exitCode }) => [text, exitCode]), ["again\n", 0]);
  });

  test("the command is found in the container's PATH", async () => {
    assert.equal((await run(["echo", "found"])).text, "found\n");
    await assertRefused("CommandNotFound", /^exec: echo: no such file/, ["echo"], {
      process: node.process(["echo"], { env: ["PATH=/etc:/nowhere"] }),
    });
  });

  test("a missing command and one that may not run are told apart", async () => {
    await assertRefused("CommandNotFound", /^exec: \/bin\/nothing: no such file/, ["/bin/nothing"]);
    await assertRefused("CommandNotExecutable", /^exec: \/bin\/not-executable: permission denied/, ["/bin/not-executable"]);
    await assertRefused("CommandNotExecutable", /^exec: \/tmp: permission denied/, ["/tmp"]);
  });

  test("the terminal of a container is its console", async () => {
    const process = node.process("tty; test -c /dev/console && echo console; test -t 1 && echo sized", { terminal: true });
    const { text } = await run("", { process, stdin: true });
    assert.equal(text.replaceAll("\r", ""), "/dev/pts/0\nconsole\nsized\n");
  });
});

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
    const script = `cd /proc/${shimPid} && { readlink exe; readlink root; for f in fd/*; do readlink $f; done; cat environ; cat maps; head -c 1 mem; } 2>/dev/null; echo looked`;
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

describe("file systems", () => {
  test("what is written goes to the upper layer only", async () => {
    const { id } = await run("echo changed > /etc/passwd; rm /bin/not-executable; echo new > /new");
    assert.match(readFileSync(join(node.image, "etc/passwd"), "utf8"), /^root/);
    assert.ok(existsSync(join(node.image, "bin/not-executable")));
    assert.equal(readFileSync(join(node.folder, "containers", id, "upper/new"), "utf8"), "new\n");
  });

  test("many layers are stacked, topmost first", async () => {
    const layers = Array.from({ length: 60 }, (_, number) => {
      const path = host(`layers/${"long-name-".repeat(20)}${number}`);
      writeFileSync(join(path, "which"), `${number}`);
      writeFileSync(join(path, `only-${number}`), "");
      return path;
    });
    const spec = node.container("layers", "");
    const { text } = await run("cat /which; ls / | grep -c only", { rootfs: { ...spec.rootfs, lower: [...layers, node.image] } });
    assert.equal(text, "060\n");
  });

  test("a missing layer is named", async () => {
    const spec = node.container("missing-layer", "");
    await assertRefused("Internal", /nowhere\/layer: no such file/, "true", { rootfs: { ...spec.rootfs, lower: ["/nowhere/layer"] } });
  });

  test("a read-only root refuses writes, its writable mounts do not", async () => {
    const spec = node.container("read-only", "");
    const { text } = await run("echo x > /file 2>&1; echo x > /data/file && echo data; echo x > /dev/shm/file && echo shm; pwd", {
      rootfs: { ...spec.rootfs, readOnly: true },
      mounts: [bind(host("ro-data"), "/data")],
      process: node.process("echo x > /file; echo x > /data/file && echo data; echo x > /dev/shm/file && echo shm; pwd", {
        cwd: "/made/dir",
      }),
    });
    assert.equal(text, "data\nshm\n/made/dir\n");
    assert.equal(existsSync(join(node.folder, "containers/read-only/upper/file")), false);
  });

  test("volumes: files and folders, read-only and not, one in the other, tmpfs with its size", async () => {
    const data = host("volume");
    writeFileSync(join(data, "there"), "there\n");
    const { text } = await run(
      "cat /data/there /config/file; echo x > /config/file; echo new > /data/new; echo x > /ro/new; mkdir /data/sub/dir; df -k /scratch | tail -1 | awk '{print $2}'; stat -c %a /scratch; echo x > /data/deep/inside/y",
      {
        mounts: [
          bind(data, "/data"),
          bind(host("file", "file\n"), "/config/file", { readOnly: true }),
          bind(data, "/ro", { readOnly: true }),
          {
            type: "tmpfs",
            source: "",
            destination: "/scratch",
            readOnly: false,
            recursive: false,
            propagation: "private",
            sizeBytes: 1024 * 1024,
            mode: 0o700,
          },
          bind(host("inner"), "/data/deep/inside"),
        ],
      },
    );
    assert.equal(text, "there\nfile\n1024\n700\n");
    assert.equal(readFileSync(join(data, "new"), "utf8"), "new\n");
    assert.equal(readFileSync(join(node.folder, "host/file"), "utf8"), "file\n");
    assert.equal(readFileSync(join(node.folder, "host/inner/y"), "utf8"), "x\n");
  });

  test("read-only holds for what is mounted below the source", async () => {
    const outer = host("outer");
    mkdirSync(join(outer, "below"));
    execFileSync("mount", ["-t", "tmpfs", "none", join(outer, "below")]);
    try {
      const { text } = await run("echo x > /data/below/file; awk '$5 ~ /^.data/ {print $5, substr($6,1,2)}' /proc/self/mountinfo", {
        mounts: [bind(outer, "/data", { readOnly: true })],
      });
      assert.equal(text, "/data ro\n/data/below ro\n");
      const { text: flat } = await run("awk '$5 ~ /^.data/ {print $5}' /proc/self/mountinfo", {
        mounts: [bind(outer, "/data", { recursive: false })],
      });
      assert.equal(flat, "/data\n");
    } finally {
      execFileSync("umount", [join(outer, "below")]);
    }
  });

  test("a missing source is NotFound and named; a folder on a file is refused", async () => {
    await assertRefused("NotFound", /open mount source: \/nowhere\/at\/all: no such file/, "true", {
      mounts: [bind("/nowhere/at/all", "/data")],
    });
    await assertRefused("InvalidArgument", /a folder cannot be mounted at \/etc\/passwd/, "true", {
      mounts: [bind(host("some-dir"), "/etc/passwd")],
    });
    await assertRefused("InvalidArgument", /a file cannot be mounted at \/etc/, "true", { mounts: [bind(host("some-file", ""), "/etc")] });
  });

  test("destinations that mean something else are refused", async () => {
    for (const destination of ["/", "/proc", "/proc/sys", "/sys/kernel", "/tmp/../proc", "relative"])
      await assertRefused("InvalidArgument", /./, "true", { mounts: [bind(host("some-dir"), destination)] });
  });
});

describe("hostile images", () => {
  /** An image of its own, prepared by the test. */
  function image(name: string, prepare: (root: string) => void): Partial<ContainerSpec> {
    const top = host(`images/${name}`);
    prepare(top);
    const spec = node.container(`image-${name}`, "");
    return { rootfs: { ...spec.rootfs, lower: [top, node.image] } };
  }

  test("links in the way of a volume are followed inside the container only", async () => {
    const canary = host("canary/file", "canary");
    const folder = join(canary, "..");
    const changes = image("links", (root) => {
      symlinkSync(folder, join(root, "absolute"));
      symlinkSync(`../../../../../../..${folder}`, join(root, "relative"));
      symlinkSync(canary, join(root, "file"));
      symlinkSync("/run/secrets", join(root, "dangling"));
    });
    const data = host("link-data");
    const { text } = await run(
      `echo volume > /absolute/written; cat /relative/written; echo x > /file; ls ${folder}; ls -d /run/secrets/deep`,
      {
        ...changes,
        mounts: [bind(data, "/absolute/sub"), bind(data, "/relative"), bind(host("one-file", "f"), "/file"), bind(data, "/dangling/deep")],
      },
    );
    assert.match(text, /\/run\/secrets\/deep/);
    assert.deepEqual(readdirSync(folder), ["file"]);
    assert.equal(readFileSync(canary, "utf8"), "canary");
    assert.equal(existsSync("/run/secrets/deep"), false);
    assert.equal(readFileSync(join(node.folder, "host/one-file"), "utf8"), "x\n");
  });

  for (const name of ["proc", "sys", "dev"])
    for (const kind of ["link", "file"] as const)
      test(`an image with a ${kind} at /${name} is refused`, async () => {
        const changes = image(`${name}-${kind}`, (root) => {
          if (kind === "link") symlinkSync("/tmp", join(root, name));
          else writeFileSync(join(root, name), "");
        });
        await assertRefused("InvalidArgument", new RegExp(`the image has no folder at /${name}`), "true", changes);
      });

  test("a link to /proc as a volume's destination is refused", async () => {
    const changes = image("to-proc", (root) => {
      symlinkSync("/proc/sys", join(root, "data"));
      symlinkSync("/sys/fs/cgroup", join(root, "cgroup"));
    });
    await assertRefused("InvalidArgument", /\/data leads into \/proc/, "true", { ...changes, mounts: [bind(host("some-dir"), "/data")] });
    await assert.rejects(
      runtime.startContainer(
        pod.id,
        node.container("to-cgroup", "true", { ...changes, mounts: [bind(host("some-dir"), "/cgroup/new")] }),
        signal,
      ),
      /\/cgroup\/new/,
    );
  });

  test("a working directory that is a link stays inside", async () => {
    const outside = host("cwd-canary");
    const changes = image("cwd", (root) => symlinkSync(outside, join(root, "home")));
    const { text } = await run("", { ...changes, process: node.process("pwd; touch made", { cwd: "/home/new" }) });
    assert.equal(text, `${outside}/new\n`);
    assert.deepEqual(readdirSync(outside), []);
  });

  test("a working directory in /proc that leads elsewhere is refused", async () => {
    for (const cwd of ["/proc/self/fd/3", "/proc/self/fd/7", "/proc/1/cwd/..", "/proc/self/root/etc"])
      await assertRefused("InvalidArgument", /working directory/, "true", { process: node.process("true", { cwd }) });
  });

  test("the shim's program cannot be reached for writing through /proc/self/exe", async () => {
    const changes = image("self-exe", (root) => writeFileSync(join(root, "entry"), "#!/proc/self/exe\n", { mode: 0o755 }));
    const before = createHash("sha256")
      .update(readFileSync(join(nativeDir, "tessera-shim")))
      .digest("hex");
    await runtime.startContainer(pod.id, node.container("self-exe", ["/entry"], changes), signal);
    assert.equal((await node.exit("self-exe")).exitCode, 1, "the shim's program finds nothing to do in a container");
    await runtime.removeContainer(pod.id, "self-exe");
    assert.throws(() => accessSync(`/proc/${shimPid}/exe`, constants.W_OK), { code: "EROFS" });
    assert.equal(
      createHash("sha256")
        .update(readFileSync(join(nativeDir, "tessera-shim")))
        .digest("hex"),
      before,
    );
  });

  test("two containers that exchange a link and a folder in a shared volume reach nothing outside", { timeout: 60_000 }, async () => {
    const shared = host("exchange");
    mkdirSync(join(shared, "a"));
    symlinkSync("/../../../../../../../../../../../..", join(shared, "b"));
    const swap = "cd /data; while :; do mv a c; mv b a; mv c b; mv a c; mv b a; mv c b; done 2>/dev/null";
    await runtime.startContainer(pod.id, node.container("swapper", swap, { mounts: [bind(shared, "/data")] }), signal);
    const name = `tessera-canary-${process.pid}`;
    const target = host("exchange-target");
    for (let round = 0; round < 60; round++) {
      const id = `c${++count}`;
      const spec = node.container(id, "true", { mounts: [bind(shared, "/data"), bind(target, `/data/a/${name}`)] });
      await runtime.startContainer(pod.id, spec, signal).then(
        () => node.exit(id),
        () => {},
      );
      await runtime.removeContainer(pod.id, id);
      assert.equal(existsSync(`/${name}`), false, `round ${round}`);
    }
    await runtime.signalContainer(pod.id, "swapper", 9);
    await node.exit("swapper");
    await runtime.removeContainer(pod.id, "swapper");
    rmSync(shared, { recursive: true, force: true });
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
