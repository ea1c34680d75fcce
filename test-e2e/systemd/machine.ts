import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "../harness/cluster.ts";
import { type Output, type RunOptions, run, runOk } from "../harness/run.ts";

export interface MachineOptions {
  readonly name: string;
  /** Of a bridge on this machine. */
  readonly bridge: string;
  /** With prefix length: "10.1.2.3/24". */
  readonly address: string;
  /** Folder that becomes the machine's root, below what it writes itself. */
  readonly baseRoot: string;
  /** For all that the machine writes. */
  readonly folder: string;
  /** Further folders that the machine sees, read-only, by the path that it has there. */
  readonly shared: Readonly<Record<string, string>>;
}

const stopTimeoutMs = 60_000;

/**
 * What systemd-nspawn does not do by itself: a cgroup of the machine's own in every hierarchy, of v1 a new cpuset with what its parent has. nspawn
 * shows the machine this cgroup as its root, so that machines do not meet in each other's.
 */
const enterCgroups = `
  set -eu
  name=$1; shift
  for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ -e "$hierarchy/cgroup.procs" ] || continue
    mkdir -p "$hierarchy/$name"
    for file in cpuset.cpus cpuset.mems; do [ ! -e "$hierarchy/$file" ] || cat "$hierarchy/$file" >"$hierarchy/$name/$file"; done
    echo $$ >"$hierarchy/$name/cgroup.procs"
  done
  exec "$@"`;

/**
 * What comes before systemd in the machine. nspawn mounts the controllers of v1 read-only. Remounted while systemd runs already, they would be
 * news to it at its next re-execution, and it would move every process that it knows.
 */
const init = `
  for hierarchy in /sys/fs/cgroup/*; do
    [ ! -e "$hierarchy/cgroup.procs" ] || mount -o remount,bind,rw "$hierarchy"
  done
  ip link set host0 up
  ip address add ADDRESS dev host0
  exec /lib/systemd/systemd`;

/** Units that have nothing to do here. With a writable /sys, udev would handle the devices of the machine that all this runs on. */
const maskedUnits = [
  "systemd-udevd.service",
  "systemd-udevd-control.socket",
  "systemd-udevd-kernel.socket",
  "systemd-udev-trigger.service",
  "systemd-networkd-wait-online.service",
  "systemd-logind.service",
  "console-getty.service",
  "e2scrub_reap.service",
];

/** A machine with systemd as its PID 1, made of namespaces by systemd-nspawn. Its disk outlives a reboot. */
export class Machine implements AsyncDisposable {
  readonly options: MachineOptions;
  #nspawn: ChildProcess | undefined;
  #leader: number | undefined;

  constructor(options: MachineOptions) {
    this.options = options;
  }

  get ip(): string {
    return this.options.address.split("/")[0] ?? "";
  }

  get #root(): string {
    return join(this.options.folder, "root");
  }

  get #cgroup(): string {
    return `tessera-machine-${this.options.name}`;
  }

  /** Where the machine's console goes. */
  get consoleLog(): string {
    return join(this.options.folder, "console.log");
  }

  /** Resolves when all units have been started. */
  async start(): Promise<void> {
    await this.#makeRoot();
    const { name, bridge, address, folder, shared } = this.options;
    const binds = Object.entries(shared).map(([path, source]) => `--bind-ro=${source}:${path}`);
    const args = [
      ...["--quiet", "--register=no", "--keep-unit", "--private-network", `--network-bridge=${bridge}`, "--kill-signal=SIGRTMIN+3"],
      ...["--capability=all", "--system-call-filter=add_key keyctl bpf", `--machine=${name}`, `--directory=${this.#root}`],
      // Not on the overlay, which cannot hold the overlays of containers.
      ...[`--bind=${join(folder, "var-lib")}:/var/lib`, ...binds, "/bin/sh", "-euc", init.replace("ADDRESS", address)],
    ];
    const nspawn = spawn("sh", ["-c", enterCgroups, "sh", this.#cgroup, "systemd-nspawn", ...args], {
      env: { ...process.env, SYSTEMD_NSPAWN_API_VFS_WRITABLE: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const log = createWriteStream(this.consoleLog, { flags: "a" });
    for (const stream of [nspawn.stdout, nspawn.stderr]) stream.pipe(log);
    this.#nspawn = nspawn;
    await until(`systemd in ${name}`, async () => {
      if (nspawn.exitCode !== null) throw new Error(`systemd-nspawn ended:\n${readFileSync(this.consoleLog, "utf8").slice(-2000)}`);
      this.#leader = await childOf(nspawn.pid ?? 0);
      if (this.#leader === undefined) return undefined;
      const { stdout } = await this.run(["systemctl", "is-system-running"]);
      return /^(running|degraded)$/.test(stdout.trim()) ? true : undefined;
    });
  }

  /** A program in the machine, as root. */
  async run(command: readonly string[], options: RunOptions = {}): Promise<Output> {
    return await run("nsenter", [...this.#enter(), ...command], options);
  }

  /** As `run`; a non-zero exit is an error that shows the output. */
  async runOk(command: readonly string[], options: RunOptions = {}): Promise<string> {
    return await runOk("nsenter", [...this.#enter(), ...command], options);
  }

  /** A shell script in the machine. */
  async shell(script: string, options: RunOptions = {}): Promise<string> {
    return await this.runOk(["sh", "-euc", script], options);
  }

  #enter(): string[] {
    if (this.#leader === undefined) throw new Error(`${this.options.name} does not run`);
    const environment = ["env", "-i", "HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
    return ["--target", String(this.#leader), "--all", "--root", "--wd", ...environment];
  }

  /** An orderly shutdown of the machine. */
  async stop(): Promise<void> {
    const nspawn = this.#nspawn;
    this.#nspawn = undefined;
    if (nspawn === undefined || nspawn.exitCode !== null || nspawn.signalCode !== null) return;
    const ended = once(nspawn, "exit");
    nspawn.kill("SIGTERM");
    const leader = this.#leader;
    // nspawn killed would leave its machine behind; the machine's own init takes everything along.
    const timer = setTimeout(() => leader !== undefined && process.kill(leader, "SIGKILL"), stopTimeoutMs);
    await ended;
    clearTimeout(timer);
    this.#leader = undefined;
  }

  async reboot(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Stops it and removes everything of it. Throws when something does not go. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    if (await isMounted(this.#root)) await runOk("umount", [this.#root]);
    await rm(this.options.folder, { recursive: true, force: true });
    for (const hierarchy of ["/sys/fs/cgroup", ...(await readdir("/sys/fs/cgroup")).map((name) => `/sys/fs/cgroup/${name}`)]) {
      const cgroup = join(hierarchy, this.#cgroup);
      if (existsSync(cgroup)) await runOk("find", [cgroup, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]);
    }
    await rm(`/run/systemd/nspawn/propagate/${this.options.name}`, { recursive: true, force: true });
  }

  async #makeRoot(): Promise<void> {
    const { folder, baseRoot, name } = this.options;
    if (await isMounted(this.#root)) return;
    const paths = ["upper", "work", "root", "var-lib"].map((part) => join(folder, part));
    for (const path of paths) await mkdir(path, { recursive: true });
    const [upper, work] = paths;
    await runOk("cp", ["-a", `${baseRoot}/var/lib/.`, join(folder, "var-lib")]);
    await runOk("mount", ["-t", "overlay", "overlay", "-o", `lowerdir=${baseRoot},upperdir=${upper},workdir=${work}`, this.#root]);
    const etc = join(this.#root, "etc");
    await writeFile(join(etc, "hostname"), `${name}\n`);
    // An empty one stops nspawn.
    await rm(join(etc, "machine-id"), { force: true });
    const units = join(etc, "systemd/system");
    await mkdir(units, { recursive: true });
    for (const unit of maskedUnits) await symlink("/dev/null", join(units, unit));
  }
}

async function childOf(pid: number): Promise<number | undefined> {
  const { stdout } = await run("pgrep", ["--parent", String(pid)]);
  const child = Number(stdout.trim().split("\n")[0]);
  return child > 0 ? child : undefined;
}

async function isMounted(path: string): Promise<boolean> {
  return (await readFile("/proc/self/mountinfo", "utf8")).split("\n").some((line) => line.split(" ")[4] === path);
}
