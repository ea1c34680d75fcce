import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { NativeLibrary } from "./native-library.ts";

const nativeDir = fileURLToPath(new URL("../../dist", import.meta.url));
const root = fileURLToPath(new URL("..", import.meta.url));
const { EPERM, ENOSYS } = constants.errno;

const CLONE_NEWUSER = 0x10000000;
const CLONE_NEWNS = 0x20000;
const SIGCHLD = 17;

/** What a call answers that the filter lets through: anything but a refusal. Arguments are chosen to fail harmlessly. */
type Verdict = "allowed" | "EPERM" | "ENOSYS";

describe("the default system call filter", { skip: process.arch !== "x64" && "the numbers below are x86-64's" }, () => {
  let folder: string;
  let library: NativeLibrary;
  let numbers: Map<string, number>;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "tessera-seccomp-"));
    library = new NativeLibrary({ nativeDir, cgroupRoot: "unused" });
    await promisify(execFile)("make", ["-s", "-C", root, "probes"]);
    const header = await readFile("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "utf8");
    numbers = new Map([...header.matchAll(/#define __NR_(\w+) (\d+)/g)].map(([, name, number]) => [name ?? "", Number(number)]));
  });
  after(async () => {
    await library.close();
    await rm(folder, { recursive: true });
  });

  async function verdicts(
    capabilities: string[],
    calls: readonly (readonly [name: string | number, ...args: number[]])[],
  ): Promise<Verdict[]> {
    const filter = join(folder, `filter-${capabilities.join("-")}`);
    await writeFile(filter, await library.defaultSeccompFilter(capabilities));
    const lines = calls.map(([name, ...args]) => {
      const number = typeof name === "number" ? name : numbers.get(name);
      assert.notEqual(number, undefined, `no system call ${name}`);
      return [number, ...args].join(" ");
    });
    // The probe runs as root with all capabilities: the kernel itself has no reason to answer EPERM.
    const answered = promisify(execFile)(join(root, "build/probe/syscalls"), [filter]);
    answered.child.stdin?.end(`${lines.join("\n")}\n`);
    const answers = (await answered).stdout.trim().split("\n").map(Number);
    assert.equal(answers.length, calls.length);
    return answers.map((errno) => (errno === EPERM ? "EPERM" : errno === ENOSYS ? "ENOSYS" : "allowed"));
  }

  async function check(capabilities: string[], table: readonly (readonly [Verdict, string | number, ...number[]])[]) {
    const found = await verdicts(
      capabilities,
      table.map(([, name, ...args]) => [name, ...args]),
    );
    assert.deepEqual(
      table.map(([, name, ...args], i) => `${name}(${args}): ${found[i]}`),
      table.map(([verdict, name, ...args]) => `${name}(${args}): ${verdict}`),
    );
  }

  test("lets ordinary programs work and refuses what reaches beyond the container", () =>
    check(
      [],
      [
        ["allowed", "getpid"],
        ["allowed", "openat", -1],
        ["allowed", "read", -1],
        ["allowed", "mknodat", -1],
        ["allowed", "clone", SIGCHLD],
        ["EPERM", "clone", CLONE_NEWUSER | SIGCHLD],
        ["EPERM", "clone", CLONE_NEWNS | SIGCHLD],
        ["ENOSYS", "clone3"],
        ["EPERM", "unshare", CLONE_NEWUSER],
        ["EPERM", "unshare", 0],
        ["EPERM", "setns", -1],
        ["EPERM", "mount"],
        ["EPERM", "umount2"],
        ["EPERM", "pivot_root"],
        ["EPERM", "chroot"],
        ["EPERM", "fsopen"],
        ["EPERM", "fsmount", -1],
        ["EPERM", "fsconfig", -1],
        ["EPERM", "fspick", -1],
        ["EPERM", "open_tree", -1],
        ["EPERM", "move_mount", -1],
        ["EPERM", "mount_setattr", -1],
        ["EPERM", "keyctl"],
        ["EPERM", "add_key"],
        ["EPERM", "request_key"],
        ["EPERM", "bpf"],
        ["EPERM", "perf_event_open"],
        ["EPERM", "userfaultfd"],
        ["EPERM", "io_uring_setup"],
        ["EPERM", "io_uring_enter", -1],
        ["EPERM", "io_uring_register", -1],
        ["EPERM", "open_by_handle_at", -1],
        ["allowed", "name_to_handle_at", -1],
        ["EPERM", "kexec_load", -1],
        ["EPERM", "kexec_file_load", -1],
        ["EPERM", "init_module"],
        ["EPERM", "finit_module", -1],
        ["EPERM", "delete_module"],
        ["EPERM", "reboot"],
        ["EPERM", "swapon"],
        ["EPERM", "settimeofday"],
        ["EPERM", "clock_settime", 99],
        ["EPERM", "iopl"],
        ["EPERM", "ioperm"],
        ["EPERM", "sethostname"],
        ["EPERM", "syslog"],
        ["EPERM", "kcmp"],
        ["EPERM", "pidfd_getfd", -1],
        ["EPERM", "process_madvise", -1],
        ["EPERM", "fanotify_init"],
        ["EPERM", "quotactl"],
        ["EPERM", "acct"],
        ["EPERM", "set_mempolicy"],
        ["EPERM", "lookup_dcookie"],
        ["allowed", "ptrace", -1],
        ["allowed", "seccomp", -1],
        ["allowed", "personality", 0xffffffff],
        ["allowed", "personality", 0x20008],
        ["ENOSYS", "personality", 0x0400000],
        ["ENOSYS", 9999],
        // The x32 numbers of the same calls.
        ["ENOSYS", 0x40000000 + 39],
      ],
    ));

  test("refuses socket families that no namespace bounds, whatever stands in the register's upper half", () =>
    check(
      [],
      [
        ["allowed", "socket", 1, 1],
        ["allowed", "socket", 2, 2],
        ["allowed", "socket", 16, 3],
        ["EPERM", "socket", 38, 5],
        ["EPERM", "socket", 40, 1],
        ["EPERM", "socket", 2 ** 32 + 38, 5],
        ["EPERM", "socket", 2 ** 32 + 40, 1],
      ],
    ));

  test("a capability opens the calls it is about, and no others", async () => {
    // 0 as a pointer: the kernel gets as far as looking at the arguments.
    await check(
      ["SYS_CHROOT", "SYS_PTRACE"],
      [
        ["allowed", "chroot"],
        ["allowed", "kcmp"],
        ["EPERM", "mount"],
        ["EPERM", "bpf"],
      ],
    );
    await check(
      ["SYS_ADMIN"],
      [
        ["allowed", "mount"],
        ["allowed", "clone3"],
        ["allowed", "fsopen"],
        ["allowed", "unshare", 0],
        ["EPERM", "userfaultfd"],
        ["EPERM", "io_uring_setup"],
        ["EPERM", "keyctl"],
        ["EPERM", "init_module"],
        ["EPERM", "open_by_handle_at", -1],
      ],
    );
  });

  test("is built once for a set of capabilities", async () => {
    assert.equal(await library.defaultSeccompFilter(["SYS_TIME", "BPF"]), await library.defaultSeccompFilter(["BPF", "SYS_TIME", "BPF"]));
    assert.ok((await library.defaultSeccompFilter()).length < 4096 * 8);
  });
});
