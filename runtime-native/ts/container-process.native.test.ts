import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { podForTests } from "./container-fixture.ts";

const { node, run, assertRefused } = podForTests();

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
