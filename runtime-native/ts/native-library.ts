import { closeSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { getSystemErrorMessage } from "node:util";
import { Binding, type Handle, type Int64 } from "./binding.ts";
import { readLines } from "./native-text.ts";
import { type ContainerUsage, type Resources, RuntimeError, type SeccompProfile } from "./runtime.ts";
import { ShimConnection } from "./shim-connection.ts";

export interface ShimSpec {
  /** The shim's executable. */
  readonly shimPath: string;
  /** With argv[0]. */
  readonly argv: readonly string[];
  /** "NAME=value" each; the shim gets these and nothing else. */
  readonly env: readonly string[];
  /** Network namespace to start in; the agent's own when absent. */
  readonly netnsPath?: string;
  /** The pod's cgroup, which is made with these limits; the caller's when absent. */
  readonly cgroup?: { readonly path: string; readonly resources: Resources };
  /** Made before everything else, with the record in its file "sandbox.json". A failure of the step "make sandbox's folder" leaves nothing. */
  readonly folder?: { readonly path: string; readonly record: string };
  /** File that the shim's stderr is appended to; /dev/null when absent. */
  readonly logPath?: string;
  /** How long the shim may take until it says that it listens; 5000 when absent. */
  readonly readyTimeoutMs?: number;
}

/** A shim that listens. The caller closes the connection, whose other end is the shim's descriptor 3. */
export interface SpawnedShim extends ProcessIdentity {
  readonly connection: ShimConnection;
}

/** A process for ever: the pid alone may mean another one later. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat. */
  readonly startTime: number;
}

export interface EndedSandbox {
  /** Pid of a shim that has been told to end; 0 for none. */
  readonly shim: number;
  readonly cgroup: string;
  /** Its containers, of which some may be missing here. */
  readonly containers: readonly string[];
  readonly folder: string;
}

export interface CgroupOptions {
  /** Only the devices that every container has may be opened; otherwise as the parent cgroup says. */
  readonly defaultDevices?: boolean;
}

export interface CgroupUsage {
  readonly cpuNs?: number;
  readonly memoryBytes?: number;
  /** Without the file cache that the kernel can drop at once. */
  readonly memoryWorkingSetBytes?: number;
  readonly pids?: number;
  /** Processes killed since the cgroup was made because its memory limit was reached. */
  readonly oomKills?: number;
}

/** So many cgroups are read by one native call, some milliseconds of a worker thread's time. */
const samplesAtOnce = 128;

/** How long a killed process tree or an emptied cgroup may take to vanish. */
const vanishTimeoutMs = 10_000;
/** A round of killing waits so long for the ends it caused: it occupies a worker thread meanwhile. */
const killRoundMs = 10;

const filterBytes = 32 * 1024;

/**
 * libtessera for the agent: starts shims, keeps their cgroups, makes the default system call filter. One per agent;
 * nothing is shared between two of them but the code.
 */
export class NativeLibrary {
  readonly binding: Binding;
  readonly #cgroupRoot: string;
  #cgroups: Promise<Handle> | undefined;
  #dirs: readonly string[] | undefined;
  readonly #programs = new Map<string, Promise<number>>();
  readonly #filters = new Map<string, Promise<Uint8Array>>();

  /** `nativeDir` holds libtessera.so; `cgroupRoot` ("tessera") is made below the mount of each cgroup hierarchy. */
  constructor(settings: { readonly nativeDir: string; readonly cgroupRoot: string }) {
    this.binding = new Binding(settings.nativeDir);
    this.#cgroupRoot = settings.cgroupRoot;
  }

  /**
   * Gives back what this process has needed and will hardly need again: what malloc holds and nobody uses, and the pages of the Node.js
   * program. Those that are needed after all come back from the page cache one fault after the other.
   */
  async releaseMemory(): Promise<void> {
    await this.binding.memoryTrim();
    await this.binding.memoryReleaseProgram();
  }

  /**
   * Starts a shim as nobody's child: init adopts it, it lives on when the agent ends, and no zombie of it stays here.
   * Its stdin and stdout are /dev/null, its working directory is "/", all signals are at their defaults, and beside 0, 1
   * and 2 it has one open descriptor, 3, a connection to this process: it writes "R" there as soon as it listens. What else it
   * writes there before it ends is taken as the reason why it cannot start.
   */
  async spawnShim(spec: ShimSpec, signal?: AbortSignal): Promise<SpawnedShim> {
    signal?.throwIfAborted();
    const spawned = { pid: 0, start_time: 0 as Int64, connection: -1, ready: 0 };
    await this.binding.spawnShim(
      {
        argv: [...spec.argv, null],
        env: [...spec.env, null],
        netns: spec.netnsPath ?? null,
        folder: spec.folder?.path ?? null,
        record: spec.folder?.record ?? null,
        log_path: spec.logPath ?? null,
        cgroups: spec.cgroup ? await this.#openCgroups() : null,
        cgroup: spec.cgroup?.path ?? null,
        limits: toLimits(spec.cgroup?.resources ?? {}, {}),
        program: await this.#openProgram(spec.shimPath),
        reserved: 0,
      },
      spawned,
    );
    const shim = { pid: spawned.pid, startTime: Number(spawned.start_time) };
    const connection = ShimConnection.ofDescriptor(spawned.connection);
    try {
      if (spawned.ready === 0 || signal?.aborted) await awaitReady(connection, spec, signal);
    } catch (error) {
      connection.destroy();
      await this.signalProcess(shim, constants.signals.SIGKILL);
      throw error;
    }
    return { ...shim, connection };
  }

  /** False when the process is gone; a stranger who got its pid is never signalled. */
  async signalProcess(process: ProcessIdentity, signalNumber: number): Promise<boolean> {
    try {
      await this.binding.signalProcess(process.pid, process.startTime, signalNumber);
      return true;
    } catch (error) {
      if (error instanceof RuntimeError && error.errno === constants.errno.ESRCH) return false;
      throw error;
    }
  }

  /**
   * Makes the cgroup and those above it ("pod1/app"), or sets the limits of an existing one. Returns its folder in each hierarchy that it is in:
   * one with v2; with v1 those of all controllers, the memory controller's first, but CPU sets, I/O and huge pages, which it is in when they are
   * limited. A process joins a v1 cgroup cheaply by writing "0" to its file "tasks" itself; v2 has no such file: there containers write to
   * cgroup.procs.
   */
  async createCgroup(path: string, resources: Resources, options: CgroupOptions = {}): Promise<string[]> {
    const made: [number] = [0];
    await this.binding.cgroupCreate(await this.#openCgroups(), path, toLimits(resources, options), made);
    this.#dirs ??= await this.#findDirs();
    return this.#dirs.filter((_, index) => (made[0] >> index) & 1).map((dir) => `${dir}/${path}`);
  }

  /** Stops all that runs in the cgroup and below, or lets it go on, and returns when it is so. */
  async freezeCgroup(path: string, freeze: boolean): Promise<void> {
    const cgroups = await this.#openCgroups();
    const step = `${freeze ? "freeze" : "thaw"} cgroup ${path}`;
    await untilNone(step, "the kernel is not done", (left) => this.binding.cgroupFreeze(cgroups, path, freeze ? 1 : 0, left));
  }

  /** Whether the cgroup was frozen and not thawed since. */
  async isCgroupFrozen(path: string): Promise<boolean> {
    const frozen: [number] = [0];
    await this.binding.cgroupIsFrozen(await this.#openCgroups(), path, frozen);
    return frozen[0] === 1;
  }

  /** The cgroup's folder in each hierarchy: several with v1, whether or not it is there, one with v2. */
  async cgroupDirs(path: string): Promise<string[]> {
    this.#dirs ??= await this.#findDirs();
    return this.#dirs.map((dir) => `${dir}/${path}`);
  }

  /** Names of the cgroups directly below `path`; "" is the root. */
  async listCgroups(path = ""): Promise<string[]> {
    const cgroups = await this.#openCgroups();
    return [...new Set(await readLines((out) => this.binding.cgroupList(cgroups, path, out, out.length)))].sort();
  }

  /** Pids in the cgroup and all below it. */
  async cgroupProcesses(path: string): Promise<number[]> {
    const cgroups = await this.#openCgroups();
    for (let capacity = 1024; ; capacity *= 4) {
      const pids = new Int32Array(capacity);
      const count: [number] = [0];
      await this.binding.cgroupProcesses(cgroups, path, pids, capacity, count);
      if (count[0] <= capacity) return [...pids.subarray(0, count[0])];
    }
  }

  /** Kills everything in the cgroup and below, forking or not, and returns when it is empty. Right when it does not exist. */
  async killCgroup(path: string): Promise<void> {
    const cgroups = await this.#openCgroups();
    await untilNone(`kill cgroup ${path}`, "processes do not end", (left) => this.binding.cgroupKill(cgroups, path, killRoundMs, left));
  }

  /** Removes the cgroup and those below, which must hold no process. Right when it does not exist. */
  async removeCgroup(path: string): Promise<void> {
    const cgroups = await this.#openCgroups();
    await untilNone(`remove cgroup ${path}`, "cgroups stay busy", (busy) => this.binding.cgroupRemove(cgroups, path, busy));
  }

  /** Ends everything in the cgroup and below, and removes it. One that is empty, as most are, is not searched for processes first. */
  async clearCgroup(path: string): Promise<void> {
    const cgroups = await this.#openCgroups();
    await untilNone(`clear cgroup ${path}`, "it stays busy", (busy) => this.binding.cgroupClear(cgroups, path, killRoundMs, busy));
  }

  /**
   * Takes away what is left of a sandbox: its shim is given a moment to end by itself, everything in its cgroup is ended, the cgroup removed and
   * then the folder with the record. Right when there is nothing of it. Throws RuntimeError with EBUSY when something is mounted in the folder.
   */
  async clearSandbox({ shim, cgroup, containers, folder }: EndedSandbox): Promise<void> {
    const cgroups = await this.#openCgroups();
    const children = [...containers, null];
    await untilNone(`clear sandbox ${folder}`, "its cgroup stays busy", (left) =>
      this.binding.sandboxClear(cgroups, shim, cgroup, children, folder, killRoundMs, left),
    );
  }

  /**
   * Removes the memory cgroups of ended sandboxes, which `clearSandbox` only sets aside with v1, once nothing that they keep cached waits to be
   * written. Returns how many a later call is to look at: none goes in its first 5 seconds, and a file system takes some 30 to write.
   */
  async removeEndedCgroups(): Promise<number> {
    const left: [number] = [0];
    await this.binding.cgroupsRemoveEnded(await this.#openCgroups(), left);
    return left[0];
  }

  async cgroupUsage(path: string): Promise<CgroupUsage> {
    const out: Record<string, Int64> = {};
    await this.binding.cgroupUsage(await this.#openCgroups(), path, out);
    const known = (value: Int64 | undefined) => (value === undefined || value < 0 ? undefined : Number(value));
    return {
      cpuNs: known(out["cpu_ns"]),
      memoryBytes: known(out["memory_bytes"]),
      memoryWorkingSetBytes: known(out["memory_working_set_bytes"]),
      pids: known(out["pids"]),
      oomKills: known(out["oom_kills"]),
    };
  }

  /** In the order of the paths: undefined for a cgroup that is not there, an error for one that cannot be read. */
  async cgroupSamples(paths: readonly string[]): Promise<(ContainerUsage | RuntimeError | undefined)[]> {
    const samples: (ContainerUsage | RuntimeError | undefined)[] = [];
    for (let first = 0; first < paths.length; first += samplesAtOnce) {
      const part = paths.slice(first, first + samplesAtOnce);
      const out = new BigInt64Array(part.length * 3);
      await this.binding.cgroupSamples(await this.#openCgroups(), `${part.join("\n")}\n`, out, part.length);
      samples.push(...part.map((path, index) => toSample(path, out.subarray(index * 3))));
    }
    return samples;
  }

  /**
   * The default filter for a process with these capabilities ("NET_ADMIN"), an array of `struct sock_filter` for
   * seccomp(2). Built once per set of capabilities.
   */
  defaultSeccompFilter(capabilities: readonly string[] = []): Promise<Uint8Array> {
    const names = [...new Set(capabilities)].sort();
    const key = names.join(",");
    let filter = this.#filters.get(key);
    if (!filter) {
      filter = this.#buildFilter(names);
      this.#filters.set(key, filter);
    }
    return filter;
  }

  /** The filter that a profile describes. Throws RuntimeError with the step "compile seccomp profile" that names what is wrong. */
  async compileSeccompProfile({ defaultAction, architectures, rules }: SeccompProfile): Promise<Uint8Array> {
    const out = new Uint8Array(filterBytes);
    const size: [number] = [out.length];
    const profile = { architectures: [...architectures, null], default_action: defaultAction, rule_count: rules.length };
    const conditions = rules.flatMap((rule) => rule.conditions);
    await this.binding.seccompProfile(
      profile,
      rules.map((rule) => ({ name: rule.name, action: rule.action, condition_count: rule.conditions.length })),
      conditions.map(({ argument, comparison, value, valueTwo }) => ({ value, value_two: valueTwo, argument, comparison })),
      out,
      size,
    );
    return out.slice(0, size[0]);
  }

  async close(): Promise<void> {
    const cgroups = this.#cgroups;
    this.#cgroups = undefined;
    if (cgroups) this.binding.cgroupsClose(await cgroups);
    const programs = [...this.#programs.values()];
    this.#programs.clear();
    for (const program of programs) closeSync(await program);
  }

  async #buildFilter(capabilities: string[]): Promise<Uint8Array> {
    const out = new Uint8Array(filterBytes);
    const size: [number] = [out.length];
    await this.binding.seccompDefault([...capabilities, null], out, size);
    return out.slice(0, size[0]);
  }

  /** Each program is opened once: of one that is replaced, shims run the old file until the agent starts again. */
  #openProgram(path: string): Promise<number> {
    let program = this.#programs.get(path);
    if (!program) {
      program = this.#open(path).catch((error) => {
        this.#programs.delete(path);
        throw error;
      });
      this.#programs.set(path, program);
    }
    return program;
  }

  async #open(path: string): Promise<number> {
    const program: [number] = [-1];
    await this.binding.openProgram(path, program);
    return program[0];
  }

  async #findDirs(): Promise<readonly string[]> {
    const cgroups = await this.#openCgroups();
    return await readLines((out) => this.binding.cgroupDirs(cgroups, out, out.length));
  }

  #openCgroups(): Promise<Handle> {
    this.#cgroups ??= this.#findCgroups().catch((error) => {
      // Not remembered: what was wrong may be mended.
      this.#cgroups = undefined;
      throw error;
    });
    return this.#cgroups;
  }

  async #findCgroups(): Promise<Handle> {
    const out: [Handle | null] = [null];
    await this.binding.cgroupsOpen(this.#cgroupRoot, out);
    if (out[0] === null) throw new RuntimeError("Internal", "open cgroups: no handle", { step: "open cgroups" });
    return out[0];
  }
}

function toLimits(resources: Resources, options: CgroupOptions): object {
  const io = (resources.ioLimits ?? []).map((limit) => ({
    read_bps: limit.readBytes ?? -1,
    write_bps: limit.writeBytes ?? -1,
    read_iops: limit.readOperations ?? -1,
    write_iops: limit.writeOperations ?? -1,
    major: limit.major,
    minor: limit.minor,
  }));
  const hugepages = (resources.hugepageLimits ?? []).map(({ pageBytes, limitBytes }) => ({
    page_bytes: pageBytes,
    limit_bytes: limitBytes,
  }));
  return {
    cpu_shares: resources.cpuShares ?? -1,
    cpu_quota_us: resources.cpuQuotaUs ?? -1,
    cpu_period_us: resources.cpuPeriodUs ?? -1,
    memory_bytes: resources.memoryLimitBytes ?? -1,
    swap_bytes: resources.swapLimitBytes ?? -1,
    pids: resources.pidsLimit ?? -1,
    cpuset_cpus: resources.cpusetCpus ?? null,
    cpuset_mems: resources.cpusetMems ?? null,
    io: io.length > 0 ? io : null,
    hugepages: hugepages.length > 0 ? hugepages : null,
    io_count: io.length,
    hugepage_count: hugepages.length,
    io_weight: resources.ioWeight ?? -1,
    default_devices: options.defaultDevices ? 1 : 0,
  };
}

function toSample(path: string, [timeNs = 0n, cpuNs = 0n, memoryBytes = 0n]: BigInt64Array): ContainerUsage | RuntimeError | undefined {
  const errno = timeNs < 0n ? -Number(timeNs) : 0;
  if (errno === constants.errno.ENOENT) return undefined;
  if (errno !== 0) {
    const step = "read cgroup";
    return new RuntimeError("Internal", `${step}: "${path}": ${getSystemErrorMessage(-errno)}`, { step, errno });
  }
  const known = (value: bigint) => (value < 0n ? 0n : value);
  return { timeNs, cpuNs: known(cpuNs), memoryWorkingSetBytes: known(memoryBytes) };
}

/** Resolves when the shim has said that it listens. It says no more until it is asked. */
async function awaitReady(connection: ShimConnection, spec: ShimSpec, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timeoutMs = spec.readyTimeoutMs ?? 5000;
  const fail = (message: string, cause?: unknown) =>
    reject(
      new RuntimeError(signal?.aborted ? "Cancelled" : "Internal", `start shim ${spec.shimPath}: ${message}`, {
        step: "start shim",
        cause,
      }),
    );
  let said = "";
  connection.onData = (chunk) => {
    said += chunk.toString("latin1");
    if (said.startsWith("R")) resolve();
  };
  const onClose = () => fail(said === "" ? "ended before it listened" : said);
  const onError = (error: Error) => fail(error.message, error);
  const onAbort = () => fail("given up", signal?.reason);
  const timer = setTimeout(() => fail(`did not listen within ${timeoutMs} ms`), timeoutMs);
  signal?.addEventListener("abort", onAbort, { once: true });
  connection.socket.on("close", onClose).on("error", onError);
  // Perhaps since it was asked for.
  if (signal?.aborted) onAbort();
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
    connection.socket.off("close", onClose).off("error", onError);
  }
}

/**
 * Repeats a round until it leaves nothing. A cgroup v1 tells nobody when it gets empty, so later rounds are spaced out; the
 * first ones are not, since most processes are gone at once.
 */
async function untilNone(step: string, trouble: string, round: (left: [number]) => Promise<void>): Promise<void> {
  const deadline = performance.now() + vanishTimeoutMs;
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 100)) {
    const left: [number] = [0];
    await round(left);
    if (left[0] === 0) return;
    if (performance.now() > deadline)
      throw new RuntimeError("Internal", `${step}: ${trouble}, ${left[0]} left after ${vanishTimeoutMs} ms`, { step });
    await delay(pauseMs);
  }
}
