import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Collected, Node } from "./native-runtime-fixture.ts";
import { type ExecOutput, RuntimeError } from "./runtime.ts";
import { rounds, until } from "./testing/patience.ts";

const node = new Node();
const runtime = node.agent();
const signal = AbortSignal.timeout(600_000);
const pod = node.sandbox();

before(async () => {
  await runtime.createSandbox(pod, signal);
  await runtime.startContainer(pod.id, node.container("main", "echo ready; exec sleep 1000"), signal);
});
after(async () => {
  await runtime.removeSandbox(pod.id);
  await node.close();
});

async function run(command: string | string[], changes = {}, stdin = false) {
  const output = new Collected();
  const session = await runtime.exec(pod.id, "main", node.process(command, changes), stdin, output, signal);
  return { output, session };
}

test("an exec gives its output, apart, and its exit code", async () => {
  const { output, session } = await run("echo out; echo err >&2; exit 3");
  assert.deepEqual(await session.exited, { exitCode: 3 });
  assert.equal(output.text, "out\n");
  assert.equal(output.errors, "err\n");
});

test("an exec that a signal ends exits with 128 and the signal", async () => {
  const { session } = await run("kill -TERM $$; sleep 5");
  assert.deepEqual(await session.exited, { exitCode: 143 });
});

test("an exec lives in the container's namespaces, cgroup and rights", async () => {
  const script =
    "readlink /proc/1/exe; cat /proc/self/cgroup; hostname; grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status; ls /proc/self/fd";
  const { output, session } = await run(script, { env: ["PATH=/bin", "NAME=value"] });
  await session.exited;
  const lines = output.text.trim().split("\n");
  assert.equal(lines[0], "/bin/busybox");
  assert.ok(lines.includes("test-pod"), output.text);
  const inCgroups = lines.filter((line) => /^\d+:(memory|cpu|pids|freezer)\b/.test(line));
  assert.ok(inCgroups.length > 0 || lines.includes("0::/"), output.text);
  for (const line of inCgroups) assert.match(line, /:\/$/);
  assert.ok(lines.includes("CapInh:\t0000000000000000"));
  assert.ok(lines.includes("CapAmb:\t0000000000000000"));
  assert.ok(lines.includes("CapEff:\t00000000a80425fb"), output.text);
  assert.ok(lines.includes("CapBnd:\t00000000a80425fb"));
  assert.ok(lines.includes("NoNewPrivs:\t1"));
  assert.ok(lines.includes("Seccomp:\t2"));
  // 3 is the folder that ls itself reads.
  assert.deepEqual(lines.slice(-4), ["0", "1", "2", "3"]);
});

test("an exec as a user has that user's groups and no capabilities", async () => {
  const { output, session } = await run("id; grep -E '^Cap(Eff|Prm)' /proc/self/status; echo again > /dev/stderr", {
    user: { uid: 1000, gid: 1000, additionalGids: [7, 9] },
  });
  assert.deepEqual(await session.exited, { exitCode: 0 });
  assert.match(output.text, /uid=1000\(user\) gid=1000 groups=7,9/);
  assert.match(output.text, /CapPrm:\t0000000000000000\nCapEff:\t0000000000000000/);
  assert.equal(output.errors, "again\n");
});

test("stdin reaches the process and ends when it is closed", async () => {
  const { output, session } = await run("wc -c", {}, true);
  const sent = 3_000_000;
  await session.write(Buffer.alloc(sent, "x"));
  session.closeStdin();
  assert.deepEqual(await session.exited, { exitCode: 0 });
  assert.equal(output.text.trim(), String(sent));
});

test("without stdin a process reads an end at once", async () => {
  const { output, session } = await run("cat; echo done");
  assert.deepEqual(await session.exited, { exitCode: 0 });
  assert.equal(output.text, "done\n");
});

test("writing to a process that reads nothing more is no error", async () => {
  const { session } = await run("exec <&-; echo closed; sleep 0.1", {}, true);
  await session.write(Buffer.alloc(500_000, "x"));
  assert.deepEqual(await session.exited, { exitCode: 0 });
});

test("a terminal has the container's name, a size that can change, and echoes", async () => {
  const { output, session } = await run("tty; read line; stty size; echo got $line", { terminal: true }, true);
  await until("the terminal is named", () => output.text.includes("/dev/pts/0"));
  session.resize(120, 40);
  await session.write(Buffer.from("hello\n"));
  assert.deepEqual(await session.exited, { exitCode: 0 });
  assert.match(output.text, /^\/dev\/pts\/0\r\nhello\r\n40 120\r\ngot hello\r\n$/);
});

test("a terminal's interrupt character reaches the foreground process", async () => {
  const { output, session } = await run(["sleep", "1000"], { terminal: true }, true);
  await session.write(Buffer.from("\x03"));
  assert.deepEqual(await session.exited, { exitCode: 130 });
  assert.equal(output.text, "^C");
});

test("all output comes before the exit code, however much", async () => {
  const { output, session } = await run("head -c 5000000 /dev/zero | tr '\\0' x; exit 4");
  assert.deepEqual(await session.exited, { exitCode: 4 });
  assert.equal(output.text.length, 5_000_000);
});

test("a receiver that takes its time stops the process instead of filling memory", async () => {
  const before = process.memoryUsage().rss;
  let received = 0;
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const output: ExecOutput = {
    async stdout(chunk) {
      await gate;
      received += chunk.length;
    },
    stderr() {},
  };
  const session = await runtime.exec(
    pod.id,
    "main",
    node.process("head -c 30000000 /dev/zero; echo end > /tmp/all-written"),
    false,
    output,
    signal,
  );
  const probe = await run("for i in 1 2 3 4 5; do test -e /tmp/all-written && echo written; sleep 0.02; done");
  await probe.session.exited;
  assert.equal(probe.output.text, "");
  assert.ok(process.memoryUsage().rss - before < 25_000_000, "memory of the agent");
  release();
  assert.deepEqual(await session.exited, { exitCode: 0 });
  assert.equal(received, 30_000_000);
});

test("a process left in the background does not hold the exit code back", async () => {
  const { output, session } = await run("sleep 1000 & echo started");
  assert.deepEqual(await session.exited, { exitCode: 0 });
  assert.equal(output.text, "started\n");
});

test("a process left in the background that writes on and on does not either", async () => {
  const output = new Collected();
  const session = await runtime.exec(pod.id, "main", node.process("yes & echo $! > /tmp/yes; exit 6"), false, output, signal);
  assert.deepEqual(await session.exited, { exitCode: 6 });
  await (await run("kill -9 $(cat /tmp/yes)")).session.exited;
});

test("a cancelled exec is killed", async () => {
  const cancel = new AbortController();
  const session = await runtime.exec(pod.id, "main", node.process(["sleep", "4321"]), false, new Collected(), cancel.signal);
  cancel.abort();
  await assert.rejects(session.exited, (error) => error instanceof RuntimeError && error.reason === "Cancelled");
  await until("sleep 4321 is gone", async () => {
    const { output, session: look } = await run("ps -o args | grep -c '[s]leep 4321'");
    await look.exited;
    return output.text === "0\n";
  });
});

test("kill ends the process and its exit code says so", async () => {
  const { session } = await run(["sleep", "1000"]);
  session.kill();
  assert.deepEqual(await session.exited, { exitCode: 137 });
});

test("what a killed command has started goes with it", async () => {
  const { session } = await run("sleep 5432; true");
  const sleeps = async () => {
    const { output, session: look } = await run("ps -o args | grep -c '[s]leep 5432$'");
    await look.exited;
    return output.text.trim();
  };
  await until("it sleeps", async () => (await sleeps()) === "1");
  session.kill();
  await session.exited;
  await until("nobody sleeps", async () => (await sleeps()) === "0");
});

for (const [name, argv, reason, errno] of [
  ["a missing command", ["no-such-command"], "CommandNotFound", 2],
  ["a missing path", ["/bin/no-such-command"], "CommandNotFound", 2],
  ["a file without the right", ["/bin/not-executable"], "CommandNotExecutable", 13],
  ["a folder", ["/tmp"], "CommandNotExecutable", 13],
] as const)
  test(`${name} is ${reason}`, async () => {
    await assert.rejects(
      run([...argv]),
      (error) => error instanceof RuntimeError && error.reason === reason && error.step === "exec" && error.errno === errno,
    );
  });

test("an exec in a container or sandbox that is not there is NotFound", async () => {
  const output = new Collected();
  const wanted = (error: unknown) => error instanceof RuntimeError && error.reason === "NotFound";
  await assert.rejects(runtime.exec(pod.id, "nobody", node.process("true"), false, output, signal), wanted);
  await assert.rejects(runtime.exec("nobody", "main", node.process("true"), false, output, signal), wanted);
});

test("a working directory that leads out of the container is refused", async () => {
  for (const cwd of ["/proc/self/fd/3", "/proc/1/cwd/..", "/proc/self/root", "/nowhere"])
    await assert.rejects(run("pwd", { cwd }), (error) => error instanceof RuntimeError && error.reason === "InvalidArgument", cwd);
});

test("a hundred execs at once each give their own answer", async () => {
  const numbers = Array.from({ length: 100 }, (_, number) => number);
  const answers = await Promise.all(
    numbers.map(async (number) => {
      const { output, session } = await run(`echo ${number}; exit ${number}`);
      return { ...(await session.exited), text: output.text };
    }),
  );
  assert.deepEqual(
    answers,
    numbers.map((number) => ({ exitCode: number, text: `${number}\n` })),
  );
});

test("the container's end ends its execs", async () => {
  const other = node.sandbox();
  await runtime.createSandbox(other, signal);
  await runtime.startContainer(other.id, node.container("short", "sleep 1000"), signal);
  const session = await runtime.exec(other.id, "short", node.process(["sleep", "1000"]), false, new Collected(), signal);
  await runtime.signalContainer(other.id, "short", 9);
  assert.deepEqual(await session.exited, { exitCode: 137 });
  assert.equal((await node.exit("short")).exitCode, 137);
  await runtime.removeSandbox(other.id);
});

test("who attaches first may have what was said before, with the end of a line that is none yet; nobody else has it", async () => {
  const other = node.sandbox();
  await runtime.createSandbox(other, signal);
  const start = async (id: string, script: string) => {
    await runtime.startContainer(other.id, node.container(id, script, { stdin: true }), signal);
    await until(`${id} has begun to speak`, () => node.log(id).length > 0);
  };
  const attach = async (id: string, earlyOutput: boolean) => {
    const output = new Collected();
    return { output, session: await runtime.attach(other.id, id, output, signal, { earlyOutput }) };
  };
  await start("eager", "echo one; echo two >&2; printf 'prompt> '; while read line; do echo got $line; done");
  const first = await attach("eager", true);
  await until("all of it comes", () => first.output.text === "one\nprompt> " && first.output.errors === "two\n");
  const second = await attach("eager", true);
  await first.session.write(Buffer.from("line\n"));
  await until("both hear the answer", () => first.output.text === "one\nprompt> got line\n" && second.output.text === "got line\n");

  await start("other", "echo early; while read line; do echo got $line; done");
  const from = await attach("other", false);
  const late = await attach("other", true);
  await from.session.write(Buffer.from("line\n"));
  await until("the answer comes to both", () => from.output.text === "got line\n" && late.output.text === "got line\n");

  // What is more than is kept would have holes: all of it is in the log.
  await start("talkative", "head -c 300000 /dev/zero | tr '\\0' x; echo; echo end; while read line; do echo got $line; done");
  await until("it has said all", () => node.log("talkative").at(-1) === "stdout F end");
  const overwhelmed = await attach("talkative", true);
  await overwhelmed.session.write(Buffer.from("line\n"));
  await until("its answer comes", () => overwhelmed.output.text === "got line\n");
  await runtime.removeSandbox(other.id);
});

test("attach gets the output from then on and the exit code, and writes to stdin", async () => {
  const other = node.sandbox();
  await runtime.createSandbox(other, signal);
  const spec = node.container("talker", "while read line; do echo got $line; test $line = end && exit 5; done", { stdin: true });
  await runtime.startContainer(other.id, spec, signal);
  const first = new Collected();
  const second = new Collected();
  const session = await runtime.attach(other.id, "talker", first, signal);
  const other_ = await runtime.attach(other.id, "talker", second, signal);
  await session.write(Buffer.from("one\n"));
  await until("the answer comes to both", () => first.text === "got one\n" && second.text === "got one\n");
  await other_.write(Buffer.from("end\n"));
  assert.deepEqual(await session.exited, { exitCode: 5 });
  assert.deepEqual(await other_.exited, { exitCode: 5 });
  assert.equal(first.text, "got one\ngot end\n");
  assert.deepEqual(node.log("talker"), ["stdout F got one", "stdout F got end"]);
  await assert.rejects(
    runtime.attach(other.id, "talker", first, signal),
    (error) => error instanceof RuntimeError && error.reason === "NotFound",
  );
  await runtime.removeSandbox(other.id);
});

test("the end of an attached session leaves the container running; its stdin can be closed", async () => {
  const other = node.sandbox();
  await runtime.createSandbox(other, signal);
  await runtime.startContainer(other.id, node.container("reader", "cat; echo end", { stdin: true }), signal);
  const cancel = new AbortController();
  const gone = await runtime.attach(other.id, "reader", new Collected(), cancel.signal);
  cancel.abort();
  await assert.rejects(gone.exited, (error) => error instanceof RuntimeError && error.reason === "Cancelled");
  const output = new Collected();
  const session = await runtime.attach(other.id, "reader", output, signal);
  await session.write(Buffer.from("words\n"));
  session.closeStdin();
  assert.deepEqual(await session.exited, { exitCode: 0 });
  assert.equal(output.text, "words\nend\n");
  await runtime.removeSandbox(other.id);
});

test("attach to a terminal: size, echo and output", async () => {
  const other = node.sandbox();
  await runtime.createSandbox(other, signal);
  const process = node.process("read line; stty size; echo got $line", { terminal: true });
  await runtime.startContainer(other.id, node.container("screen", "", { stdin: true, process }), signal);
  const output = new Collected();
  const session = await runtime.attach(other.id, "screen", output, signal);
  session.resize(90, 30);
  await session.write(Buffer.from("hello\n"));
  assert.deepEqual(await session.exited, { exitCode: 0 });
  assert.equal(output.text, "hello\r\n30 90\r\ngot hello\r\n");
  await runtime.removeSandbox(other.id);
});

test("an attached receiver that takes its time gets everything: the container waits", async () => {
  const other = node.sandbox();
  await runtime.createSandbox(other, signal);
  const script = "read line; head -c 8000000 /dev/zero | tr '\\0' x; exit 3";
  await runtime.startContainer(other.id, node.container("patient", script, { stdin: true }), signal);
  let received = 0;
  const slow: ExecOutput = {
    async stdout(chunk) {
      received += chunk.length;
      if (received % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    },
    stderr() {},
  };
  const session = await runtime.attach(other.id, "patient", slow, signal);
  await session.write(Buffer.from("go\n"));
  assert.deepEqual(await session.exited, { exitCode: 3 });
  assert.equal(received, 8_000_000);
  await runtime.removeSandbox(other.id);
});

test("a session that holds the container's stdin ends it, also when it breaks", async () => {
  const other = node.sandbox();
  await runtime.createSandbox(other, signal);
  await runtime.startContainer(other.id, node.container("once", "cat; echo end", { stdin: true }), signal);
  const cancel = new AbortController();
  const session = await runtime.attach(other.id, "once", new Collected(), cancel.signal, { endsStdin: true });
  await session.write(Buffer.from("words\n"));
  await until("the words arrived", () => node.output("once") === "words\n");
  cancel.abort();
  assert.equal((await node.exit("once")).exitCode, 0);
  assert.equal(node.output("once"), "words\nend\n");
  await runtime.removeSandbox(other.id);
});

test("an attached receiver that does not read is let go; the container goes on", async () => {
  const other = node.sandbox();
  await runtime.createSandbox(other, signal);
  await runtime.startContainer(
    other.id,
    node.container("loud", "read line; yes $(printf %0500d 0) | head -c 20000000; exit 3", { stdin: true }),
    signal,
  );
  const stuck = new Promise<void>(() => {});
  await runtime.attach(other.id, "loud", { stdout: () => stuck, stderr() {} }, signal);
  const session = await runtime.attach(other.id, "loud", new Collected(), signal);
  await session.write(Buffer.from("go\n"));
  assert.equal((await node.exit("loud")).exitCode, 3);
  await runtime.removeSandbox(other.id);
});

test("a container that watches never sees into the process that joins it", async () => {
  const other = node.sandbox();
  await runtime.createSandbox(other, signal);
  const watch = `while :; do for p in /proc/[0-9]*; do
      e=$(readlink $p/exe) && test "$e" != /bin/busybox && echo "exe $e"
      r=$(readlink $p/root) && test "$r" != / && echo "root $r"
      ls -l $p/fd 2>/dev/null | grep -v -E 'pipe:|/dev/null|/proc/|total|socket:\\[0' | grep -- '->' | sed 's/^/fd /'
    done; done 2>/dev/null`;
  await runtime.startContainer(other.id, node.container("watcher", watch), signal);
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      for (let round = 0; round < rounds(25); round++) {
        const session = await runtime.exec(other.id, "watcher", node.process(["true"]), false, new Collected(), signal);
        await session.exited;
      }
    }),
  );
  assert.deepEqual([...new Set(node.log("watcher"))], []);
  await runtime.removeSandbox(other.id);
});

test("tar is there for an image without it, with the rights of any other exec", async () => {
  const bare = join(node.folder, "bare-image");
  mkdirSync(join(bare, "bin"), { recursive: true });
  mkdirSync(join(bare, "closed"), { mode: 0o700 });
  copyFileSync("/bin/busybox", join(bare, "bin/sleep"));
  const spec = node.container("bare", ["/bin/sleep", "1000"]);
  await runtime.startContainer(pod.id, { ...spec, rootfs: { ...spec.rootfs, lower: [bare] } }, signal);
  const inBare = async (argv: string[], changes = {}, input?: Buffer) => {
    const output = new Collected();
    const session = await runtime.exec(pod.id, "bare", node.process(argv, changes), input !== undefined, output, signal);
    if (input !== undefined) await session.write(input);
    session.closeStdin();
    return { output, exited: await session.exited };
  };

  const packed = execFileSync("tar", ["-C", join(node.image, "etc"), "-cf", "-", "passwd"]);
  assert.deepEqual((await inBare(["tar", "-xmf", "-", "-C", "/"], {}, packed)).exited, { exitCode: 0 });
  const back = await inBare(["tar", "cf", "-", "/passwd"]);
  assert.match(back.output.text, /root:x:0:0/);
  assert.deepEqual((await inBare(["test", "-d", "/bin"])).exited, { exitCode: 0 });
  assert.deepEqual((await inBare(["test", "-d", "/passwd"])).exited, { exitCode: 1 });
  const asUser = await inBare(["tar", "cf", "-", "/closed"], { user: { uid: 1000, gid: 1000, additionalGids: [] } });
  assert.match(asUser.output.errors, /closed: Permission denied/);
  // Nothing else comes with it, and a path is meant as a path.
  await assert.rejects(inBare(["sh", "-c", "true"]), { reason: "CommandNotFound" });
  await assert.rejects(inBare(["/bin/tar", "cf", "-", "/"]), { reason: "CommandNotFound" });
});
