/** What the tests of the native runtime share: a busybox image, a runtime in folders of its own, a leak check. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { NativeHostFiles } from "./native-host-files.ts";
import { NativeLibrary } from "./native-library.ts";
import { NativeRuntime } from "./native-runtime.ts";
import type { ContainerSpec, ContainerState, ExecOutput, ProcessSpec, RuntimeEvent, SandboxSpec } from "./runtime.ts";
import { patienceMs } from "./testing/patience.ts";

export const nativeDir = resolve(import.meta.dirname, "../../dist");

/** Docker's default set, which the agent uses as well. */
export const defaultCapabilities = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "SETGID",
  "SETUID",
  "SETPCAP",
  "NET_BIND_SERVICE",
  "NET_RAW",
  "SYS_CHROOT",
  "MKNOD",
  "AUDIT_WRITE",
  "SETFCAP",
];

/** Whether this machine's cgroups can limit that. */
export function hasController(name: string): boolean {
  const unified = "/sys/fs/cgroup/cgroup.controllers";
  return existsSync(`/sys/fs/cgroup/${name}`) || (existsSync(unified) && readFileSync(unified, "utf8").split(/\s/).includes(name));
}

export type Exit = Extract<ContainerState, { phase: "exited" }>;

function makeImage(root: string): void {
  for (const name of ["bin", "etc", "tmp"]) mkdirSync(join(root, name), { recursive: true });
  copyFileSync("/bin/busybox", join(root, "bin/busybox"));
  for (const name of execFileSync("/bin/busybox", ["--list"], { encoding: "utf8" }).trim().split("\n"))
    if (name !== "busybox") symlinkSync("busybox", join(root, "bin", name));
  chmodSync(join(root, "tmp"), 0o1777);
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n");
  writeFileSync(join(root, "bin/not-executable"), "no", { mode: 0o644 });
}

/** One node's worth of runtime. `agent()` makes a runtime on the same folders, as a restarted agent does. */
export class Node {
  readonly folder = mkdtempSync(join(tmpdir(), "tessera-runtime-"));
  readonly runDir = join(this.folder, "run");
  readonly image = join(this.folder, "image");
  readonly cgroupRoot = `tessera-test-${process.pid}-${this.folder.slice(-6)}`;
  readonly library = new NativeLibrary({ nativeDir, cgroupRoot: this.cgroupRoot });
  readonly events: RuntimeEvent[] = [];
  readonly #files = new NativeHostFiles({ library: this.library });
  #runtimes: NativeRuntime[] = [];
  #wake: (() => void)[] = [];
  #lastSandbox = 0;
  #specs = 0;

  constructor() {
    makeImage(this.image);
  }

  agent(runDir = this.runDir): NativeRuntime {
    const log = { info: () => {}, warn: () => {} };
    const runtime = new NativeRuntime({ nativeDir, copyTools: "/bin/busybox", runDir, log, library: this.library, files: this.#files });
    runtime.onEvent((event) => {
      this.events.push(event);
      for (const wake of this.#wake.splice(0)) wake();
    });
    this.#runtimes.push(runtime);
    return runtime;
  }

  sandbox(changes: Partial<SandboxSpec> = {}): SandboxSpec {
    this.#lastSandbox++;
    const id = changes.id ?? `pod-${this.#lastSandbox}`;
    return {
      id,
      hostname: "test-pod",
      network: { kind: "host" },
      hostIpc: false,
      sharePids: false,
      cgroup: `pod${id}`,
      resources: {},
      sysctls: {},
      ...changes,
    };
  }

  /** Runs the script in a shell, or the given argv. */
  container(id: string, command: string | readonly string[], changes: Partial<ContainerSpec> = {}): ContainerSpec {
    const base = join(this.folder, "containers", id);
    // Of two starts of one container each needs a work folder of its own.
    const work = `work-${++this.#specs}`;
    for (const name of ["upper", work]) mkdirSync(join(base, name), { recursive: true });
    return {
      id,
      process: this.process(command),
      rootfs: {
        lower: [this.image],
        upper: join(base, "upper"),
        work: join(base, work),
        readOnly: false,
      },
      mounts: [],
      capabilities: defaultCapabilities,
      noNewPrivileges: true,
      privileged: false,
      seccomp: "RuntimeDefault",
      resources: {},
      pid: "container",
      init: false,
      stdin: false,
      log: { path: join(this.folder, `${id}.log`), maxBytes: 10_000_000, maxFiles: 3 },
      oomScoreAdj: 0,
      ...changes,
    };
  }

  process(command: string | readonly string[], changes: Partial<ProcessSpec> = {}): ProcessSpec {
    return {
      argv: typeof command === "string" ? ["/bin/sh", "-c", command] : command,
      env: ["PATH=/bin"],
      cwd: "/",
      user: { uid: 0, gid: 0, additionalGids: [] },
      terminal: false,
      ...changes,
    };
  }

  /** Resolves with the first event, past or to come, for which `wanted` holds. */
  async event(wanted: (event: RuntimeEvent) => boolean): Promise<RuntimeEvent> {
    const deadline = AbortSignal.timeout(patienceMs);
    for (;;) {
      const found = this.events.find(wanted);
      if (found) return found;
      await new Promise<void>((next, fail) => {
        this.#wake.push(next);
        deadline.addEventListener("abort", () => fail(new Error(`no such event; there were ${JSON.stringify(this.events)}`)), {
          once: true,
        });
      });
    }
  }

  async exit(container: string): Promise<Exit> {
    const event = await this.event((candidate) => candidate.event === "containerExited" && candidate.container.id === container);
    assert.equal(event.event, "containerExited");
    return event.container;
  }

  /** What a container wrote, without times. */
  log(container: string, suffix = ""): string[] {
    const lines = readFileSync(join(this.folder, `${container}.log${suffix}`), "utf8").split("\n");
    return lines.filter((line) => line !== "").map((line) => line.replace(/^\S+ /, ""));
  }

  /** The text of a container's stdout. */
  output(container: string): string {
    return this.log(container)
      .filter((line) => line.startsWith("stdout "))
      .map((line) => line.slice("stdout F ".length) + (line.startsWith("stdout F") ? "\n" : ""))
      .join("");
  }

  /** Names of the containers' cgroups; with v2 the shim has one beside them. */
  async containerCgroups(sandbox: string): Promise<string[]> {
    return (await this.library.listCgroups(sandbox)).filter((name) => name !== "shim");
  }

  /** Fails when anything of any sandbox is left: processes, cgroups, files, mounts but the test's own. */
  async assertNothingLeft(ownMounts: readonly string[] = []): Promise<void> {
    assert.deepEqual(readdirSync(this.runDir), [], "run folder");
    assert.deepEqual(await this.library.listCgroups(), [], "cgroups");
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    const points = mounts.map((line) => line.split(" ")[4] ?? "");
    assert.deepEqual(
      points.filter((point) => point.startsWith(this.folder) && !ownMounts.includes(point)),
      [],
      "mounts",
    );
    assert.deepEqual(processesNaming(this.folder), [], "processes");
  }

  async close(): Promise<void> {
    const last = this.agent();
    await last.recover(AbortSignal.timeout(patienceMs));
    for (const name of readdirSync(this.runDir)) await last.removeSandbox(name);
    try {
      await this.assertNothingLeft();
    } finally {
      for (const runtime of this.#runtimes) await runtime.close();
      await this.library.removeCgroup("");
      await this.library.close();
      rmSync(this.folder, { recursive: true, force: true });
    }
  }
}

/** Pids whose command line names the folder: shims. */
export function processesNaming(folder: string): number[] {
  const pids: number[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (readFileSync(`/proc/${name}/cmdline`, "utf8").includes(`${folder}/`) && Number(name) !== process.pid) pids.push(Number(name));
    } catch {
      // Gone between the two looks.
    }
  }
  return pids;
}

/** Collects what an exec writes. */
export class Collected implements ExecOutput {
  text = "";
  errors = "";
  stdout(chunk: Uint8Array): void {
    this.text += Buffer.from(chunk).toString("utf8");
  }
  stderr(chunk: Uint8Array): void {
    this.errors += Buffer.from(chunk).toString("utf8");
  }
}
