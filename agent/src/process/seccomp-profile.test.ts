import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { TesseraError } from "@tessera/proto";
import { readSeccompProfile } from "./seccomp-file.ts";
import { parseSeccompProfile, type SeccompPlace } from "./seccomp-profile.ts";

const PLACE: SeccompPlace = { capabilities: ["CHOWN", "SYS_TIME"], architecture: "x64", kernel: "6.1.0-18-amd64" };
const ALLOW = 0x7fff_0000;
const ERRNO = 0x0005_0000;

const parse = (profile: unknown, place = PLACE) =>
  parseSeccompProfile(typeof profile === "string" ? profile : JSON.stringify(profile), place);
const rules = (...syscalls: object[]) => parse({ defaultAction: "SCMP_ACT_ERRNO", syscalls }).rules;
const allow = (name: string, more: object = {}) => ({ names: [name], action: "SCMP_ACT_ALLOW", ...more });

describe("a seccomp profile", () => {
  it("gives every name of a rule its action", () => {
    const profile = {
      defaultAction: "SCMP_ACT_ERRNO",
      defaultErrnoRet: 38,
      architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
      flags: ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
      syscalls: [
        { names: ["read", "write"], action: "SCMP_ACT_ALLOW", args: null, comment: "", includes: {}, excludes: {} },
        { name: "kill", action: "SCMP_ACT_KILL_PROCESS" },
        { names: ["ptrace"], action: "SCMP_ACT_ERRNO" },
        { names: ["mount"], action: "SCMP_ACT_TRACE", errnoRet: 7 },
      ],
    };
    assert.deepEqual(parse(profile), {
      defaultAction: ERRNO + 38,
      architectures: ["x86_64", "x86"],
      flags: 6,
      rules: [
        { name: "read", action: ALLOW, conditions: [] },
        { name: "write", action: ALLOW, conditions: [] },
        { name: "kill", action: 0x8000_0000, conditions: [] },
        { name: "ptrace", action: ERRNO + 1, conditions: [] },
        { name: "mount", action: 0x7ff0_0007, conditions: [] },
      ],
    });
  });

  it("compares arguments, also with numbers of 64 bits", () => {
    const text = `{"defaultAction":"SCMP_ACT_KILL","syscalls":[{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[
      {"index":5,"value":18446744073709551615,"op":"SCMP_CMP_MASKED_EQ","valueTwo":9223372036854775809}]}]}`;
    assert.deepEqual(parse(text).rules[0]?.conditions, [{ argument: 5, comparison: 7, value: 2n ** 64n - 1n, valueTwo: 2n ** 63n + 1n }]);
  });

  it("includes what the container's capabilities, the processor and the kernel ask for", () => {
    const included = (includes: object) => rules(allow("a", { includes })).length === 1;
    assert.ok(included({ caps: ["CAP_CHOWN", "CAP_SYS_TIME"] }));
    assert.ok(!included({ caps: ["CAP_CHOWN", "CAP_BPF"] }));
    assert.ok(included({ arches: ["arm64", "amd64"] }) && !included({ arches: ["s390x"] }));
    assert.ok(included({ minKernel: "6.1" }) && included({ minKernel: "4.8" }) && included({ minKernel: "5.19" }));
    assert.ok(!included({ minKernel: "6.2" }) && !included({ minKernel: "10.0" }));
  });

  it("excludes what any of them asks for", () => {
    const excluded = (excludes: object) => rules(allow("a", { excludes })).length === 0;
    assert.ok(excluded({ caps: ["CAP_BPF", "CAP_CHOWN"] }) && !excluded({ caps: ["CAP_BPF"] }));
    assert.ok(excluded({ arches: ["amd64"] }) && !excluded({ arches: ["arm64"] }));
    assert.ok(excluded({ minKernel: "6.1" }) && !excluded({ minKernel: "6.2" }));
  });

  it("takes the architectures that are mapped to the node's own", () => {
    const archMap = [
      { architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] },
      { architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"] },
    ];
    const mapped = (architecture: string) => parse({ defaultAction: "SCMP_ACT_LOG", archMap }, { ...PLACE, architecture }).architectures;
    assert.deepEqual([mapped("x64"), mapped("arm64")], [["x86"], ["arm"]]);
  });

  const good = { defaultAction: "SCMP_ACT_ERRNO" };
  for (const [what, profile, message] of [
    ["no JSON", "{", /^not JSON: /],
    ["a list", [], /the profile: must be an object/],
    ["no default action", {}, /defaultAction: it must be one of SCMP_ACT_KILL, /],
    [
      "an unknown action",
      { ...good, syscalls: [{ names: ["a"], action: "SCMP_ACT_FROB" }] },
      /syscalls\[0\]\.action: "SCMP_ACT_FROB" must be/,
    ],
    ["an action named as something every object has", { defaultAction: "toString" }, /defaultAction: "toString"/],
    ["a listener", { ...good, listenerPath: "/run/x" }, /listenerPath: .* not supported/],
    ["an unknown field", { ...good, sycalls: [] }, /unknown field "sycalls"/],
    ["an unknown field of a rule", { ...good, syscalls: [allow("a", { arg: [] })] }, /syscalls\[0\]: unknown field "arg"/],
    ["an unknown flag", { ...good, flags: ["SECCOMP_FILTER_FLAG_NEW_LISTENER"] }, /flags\[0\]: /],
    ["a rule without names", { ...good, syscalls: [{ action: "SCMP_ACT_ALLOW" }] }, /syscalls\[0\]\.names: a name is missing/],
    ["a name that is no text", { ...good, syscalls: [{ names: [7], action: "SCMP_ACT_ALLOW" }] }, /names\[0\]: must be a string/],
    [
      "an argument that no call has",
      { ...good, syscalls: [allow("a", { args: [{ index: 6, op: "SCMP_CMP_EQ" }] })] },
      /args\[0\]\.index: 6/,
    ],
    ["a negative value", { ...good, syscalls: [allow("a", { args: [{ index: 0, value: -1, op: "SCMP_CMP_EQ" }] })] }, /\.value: -1/],
    ["an unknown comparison", { ...good, syscalls: [allow("a", { args: [{ index: 0, op: "==" }] })] }, /\.op: "=="/],
    ["an errno that is too large", { ...good, defaultErrnoRet: 65536 }, /errno 65536/],
    ["a strange architecture", { ...good, architectures: ["x86"] }, /architectures: "x86" is no architecture/],
    ["a strange kernel", { ...good, syscalls: [allow("a", { includes: { minKernel: "six" } })] }, /includes\.minKernel/],
  ] as const)
    it(`with ${what} is refused`, () => {
      assert.throws(
        () => parse(profile),
        (error) => error instanceof TesseraError && error.reason === "Invalid" && message.test(error.message),
      );
    });
});

describe("the file of a seccomp profile", () => {
  const base = mkdtempSync(join(tmpdir(), "tessera-seccomp-"));
  const folder = join(base, "seccomp");
  after(() => rmSync(base, { recursive: true }));
  mkdirSync(join(folder, "team"), { recursive: true });
  const text = '{"defaultAction":"SCMP_ACT_ALLOW"}';
  writeFileSync(join(folder, "team/a.json"), text);
  writeFileSync(join(folder, "broken.json"), "{");
  writeFileSync(join(folder, "large.json"), " ".repeat(2 ** 20 + 1));
  writeFileSync(join(base, "outside.json"), text);
  mkdirSync(join(base, "seccomp-other"));
  writeFileSync(join(base, "seccomp-other/a.json"), text);
  symlinkSync("team/a.json", join(folder, "link.json"));
  symlinkSync("../outside.json", join(folder, "out.json"));
  symlinkSync("/dev/zero", join(folder, "zero"));

  it("is found below the folder, also through a link that stays there", async () => {
    for (const name of ["team/a.json", "link.json"]) assert.equal((await readSeccompProfile(folder, name, [])).defaultAction, ALLOW);
  });

  for (const [name, reason, message] of [
    ["absent.json", "NotFound", /"absent\.json" is not on this node; expected .*\/seccomp\/absent\.json/],
    ["team/a.json/b", "NotFound", /not on this node/],
    ["out.json", "Invalid", /leads out of/],
    ["../outside.json", "Invalid", /leads out of/],
    ["../seccomp-other/a.json", "Invalid", /leads out of/],
    ["zero", "Invalid", /leads out of/],
    ["team", "Invalid", /is not a file/],
    ["broken.json", "Invalid", /seccomp profile "broken\.json": not JSON/],
    ["large.json", "Invalid", /larger than 1048576 bytes/],
  ] as const)
    it(`${name} is refused`, async () => {
      await assert.rejects(readSeccompProfile(folder, name, []), (error) => {
        assert.ok(error instanceof TesseraError);
        assert.equal(error.reason, reason);
        assert.match(error.message, message);
        return true;
      });
    });

  it("is missed when the folder is", async () => {
    await assert.rejects(readSeccompProfile(join(base, "none"), "a.json", []), /not on this node/);
  });
});
