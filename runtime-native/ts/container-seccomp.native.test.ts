import assert from "node:assert/strict";
import { test } from "node:test";
import { podForTests } from "./container-fixture.ts";
import { Collected } from "./native-runtime-fixture.ts";
import { RuntimeError, type SeccompCondition, type SeccompProfile } from "./runtime.ts";

const { node, runtime, signal, pod, nextId, run, assertRefused } = podForTests();
const allow = 0x7fff_0000;
const refuse = (errno: number) => 0x0005_0000 + errno;
const EOPNOTSUPP = 95;
const equals = 4;

/** Everything is allowed but what the rules say. */
function profile(rules: SeccompProfile["rules"], changes: Partial<SeccompProfile> = {}): SeccompProfile {
  return { defaultAction: allow, architectures: ["x86_64", "x86"], rules, flags: 0, ...changes };
}

function argument(index: number, value: bigint, more: Partial<SeccompCondition> = {}): SeccompCondition {
  return { argument: index, comparison: equals, value, valueTwo: 0n, ...more };
}

test("a profile's rule answers the call, and what it does not name goes on", async () => {
  const seccomp = profile([{ name: "mkdir", action: refuse(EOPNOTSUPP), conditions: [] }]);
  const { text } = await run("mkdir /made 2>&1; touch /touched && echo touched; grep Seccomp: /proc/self/status", { seccomp });
  assert.equal(text, "mkdir: can't create directory '/made': Operation not supported\ntouched\nSeccomp:\t2\n");
});

test("an exec has the container's profile", async () => {
  const id = nextId();
  const seccomp = profile([{ name: "mkdir", action: refuse(EOPNOTSUPP), conditions: [] }]);
  await runtime.startContainer(pod.id, node.container(id, ["sleep", "1000"], { seccomp }), signal);
  const output = new Collected();
  await (await runtime.exec(pod.id, id, node.process("mkdir /made"), false, output, signal)).exited;
  assert.match(output.errors, /Operation not supported/);
  await runtime.signalContainer(pod.id, id, 9);
  await node.exit(id);
  await runtime.removeContainer(pod.id, id);
});

test("conditions on several arguments hold together, on one any is enough", async () => {
  const kills = "trap 'echo usr1' USR1; trap 'echo usr2' USR2; trap 'echo hup' HUP; kill -USR1 $$; kill -USR2 $$; kill -HUP $$; true";
  const rule = (...conditions: SeccompCondition[]) => profile([{ name: "kill", action: refuse(0), conditions }]);
  assert.equal((await run(kills, { seccomp: rule(argument(0, 1n), argument(1, 10n)) })).text, "usr2\nhup\n");
  assert.equal((await run(kills, { seccomp: rule(argument(0, 77n), argument(1, 10n)) })).text, "usr1\nusr2\nhup\n");
  assert.equal((await run(kills, { seccomp: rule(argument(1, 10n), argument(1, 12n)) })).text, "hup\n");
  const masked = argument(1, 0xfn, { comparison: 7, valueTwo: 0xan });
  assert.equal((await run(kills, { seccomp: rule(masked) })).text, "usr2\nhup\n");
});

test("a call that ends the process is seen as its signal", async () => {
  const id = nextId();
  const seccomp = profile([{ name: "mkdir", action: 0x8000_0000, conditions: [] }]);
  await runtime.startContainer(pod.id, node.container(id, ["mkdir", "/made"], { seccomp }), signal);
  const { exitCode, signal: by } = await node.exit(id);
  assert.deepEqual([exitCode, by], [128 + 31, 31]);
  await runtime.removeContainer(pod.id, id);
});

test("a list of what is allowed is enough to run, also with names that are newer than the library", async () => {
  const names = [
    "read",
    "write",
    "execve",
    "exit_group",
    "arch_prctl",
    "set_tid_address",
    "brk",
    "mmap",
    "munmap",
    "mprotect",
    "getuid",
    "listns",
  ];
  const rules = names.map((name) => ({ name, action: allow, conditions: [] }));
  const seccomp = profile(rules, { defaultAction: refuse(1) });
  assert.deepEqual(await run(["echo", "said"], { seccomp }).then(({ text, exitCode }) => [text, exitCode]), ["said\n", 0]);
  const { exitCode, id } = await run(["mkdir", "/made"], { seccomp });
  assert.equal(exitCode, 1);
  assert.deepEqual(node.log(id), ["stderr F mkdir: can't create directory '/made': Operation not permitted"]);
});

test("what no kernel has is named, and nothing is left", async () => {
  const unknown = profile([{ name: "reed", action: refuse(1), conditions: [] }]);
  await assertRefused("InvalidArgument", /^compile seccomp profile: there is no system call "reed"/, "true", { seccomp: unknown });
  const strange = profile([], { architectures: ["pdp11"] });
  await assertRefused("InvalidArgument", /architecture "pdp11"/, "true", { seccomp: strange });
  await assert.rejects(node.library.compileSeccompProfile(unknown), (error) => {
    return error instanceof RuntimeError && error.step === "compile seccomp profile";
  });
});

test("the flags are the kernel's to judge", async () => {
  assert.equal((await run("echo ran", { seccomp: profile([], { flags: 6 }) })).text, "ran\n");
  await assertRefused("Internal", /load seccomp filter.*invalid argument/, "true", { seccomp: profile([], { flags: 1 << 20 }) });
});

test("a privileged container has none", async () => {
  const seccomp = profile([{ name: "mkdir", action: refuse(1), conditions: [] }]);
  assert.equal((await run("mkdir /made && grep Seccomp: /proc/self/status", { seccomp, privileged: true })).text, "Seccomp:\t0\n");
});
