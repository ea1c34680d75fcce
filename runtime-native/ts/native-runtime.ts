import { mkdir, rm } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import type { HostFiles } from "./host-files.ts";
import type { NativeLibrary } from "./native-library.ts";
import {
  type ContainerSpec,
  type ContainerState,
  type ContainerUsage,
  type ExecOutput,
  type ExecSession,
  type PortOutput,
  type PortSession,
  type ProcessSpec,
  type Runtime,
  RuntimeError,
  type RuntimeEvent,
  type SandboxSpec,
  type SandboxState,
} from "./runtime.ts";
import { createRecord, type Exit, namesIn, readExits, readRecord } from "./sandbox-record.ts";
import { cancelled, connectShim, ShimClient, throwIfCancelled } from "./shim-client.ts";
import { ShimForward } from "./shim-forward.ts";
import { decodeContainerState, encodeContainer, encodeExec } from "./shim-messages.ts";
import { Fields, FieldWriter, type Frame, frames } from "./shim-protocol.ts";
import { ShimSession } from "./shim-session.ts";

/** What the runtime needs of libtessera. */
export type RuntimeLibrary = Pick<
  NativeLibrary,
  "spawnShim" | "createCgroup" | "cgroupDirs" | "killCgroup" | "removeCgroup" | "listCgroups" | "cgroupUsage" | "defaultSeccompFilter"
>;

/** pino's shape. */
export interface RuntimeLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
}

export interface NativeRuntimeParts {
  /** Folder that holds `tessera-shim`. */
  readonly nativeDir: string;
  /** Sockets and records of the sandboxes, a folder each: on a file system that a reboot empties (/run/tessera). */
  readonly runDir: string;
  readonly log: RuntimeLog;
  readonly library: RuntimeLibrary;
  readonly files: Pick<HostFiles, "unmountBelow">;
}

type Running = Extract<ContainerState, { phase: "running" }>;

interface Start {
  /** Set when it ended already. */
  exit: Exit | undefined;
  /** Called at its end, and when the shim is lost. */
  onEnd: () => void;
}

/** A sandbox with a shim we are connected to. */
interface Sandbox {
  readonly id: string;
  readonly cgroup: string;
  readonly pid: number;
  readonly client: ShimClient;
  readonly containers: Map<string, ContainerState>;
  /** Containers whose start the caller has not been told of yet. */
  readonly starting: Map<string, Start>;
  /** The end of the connection is expected. */
  closing: boolean;
}

const shutdownTimeoutMs = 5000;
const reconnectTimeoutMs = 5000;
const maxSocketPath = 107;

/**
 * Runs pods with one shim process each, which is the parent of the containers and outlives this process.
 *
 *     RUN/<pod>/sandbox.json   the journal: written first, removed last
 *     RUN/<pod>/shim.sock      where the shim listens
 *     RUN/<pod>/shim.log       what a shim that cannot start says
 *     RUN/<pod>/shm            the pod's /dev/shm
 *     RUN/<pod>/<container>.exit
 *
 * The pod's cgroup holds the shim (in its child "shim") and one child per container: whatever happens, killing that
 * cgroup ends everything of the pod.
 */
export class NativeRuntime implements Runtime {
  readonly #parts: NativeRuntimeParts;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #removals = new Map<string, Promise<void>>();
  readonly #background = new Set<Promise<void>>();
  #listener: (event: RuntimeEvent) => void = () => {};
  #closed = false;

  constructor(parts: NativeRuntimeParts) {
    this.#parts = parts;
  }

  onEvent(listener: (event: RuntimeEvent) => void): void {
    this.#listener = listener;
  }

  async createSandbox(spec: SandboxSpec, signal: AbortSignal): Promise<SandboxState> {
    const step = "create sandbox";
    throwIfCancelled(signal, step);
    this.#checkId(spec.id);
    try {
      await mkdir(this.#parts.runDir, { recursive: true, mode: 0o700 });
      await createRecord(this.#directory(spec.id), { id: spec.id, cgroup: spec.cgroup });
    } catch (cause) {
      throw fileError(cause, step, `sandbox ${spec.id}`);
    }
    try {
      return await this.#startShim(spec, signal);
    } catch (error) {
      await this.#undo(`sandbox ${spec.id}`, () => this.removeSandbox(spec.id));
      if (signal.aborted) throw cancelled(step, signal);
      throw error;
    }
  }

  async startContainer(sandboxId: string, spec: ContainerSpec, signal: AbortSignal): Promise<Running> {
    const step = "start container";
    throwIfCancelled(signal, step);
    const sandbox = this.#find(sandboxId, step);
    if (sandbox.containers.has(spec.id) || sandbox.starting.has(spec.id))
      throw new RuntimeError("AlreadyExists", `${step}: there is a container ${spec.id} in sandbox ${sandboxId}`, { step });
    const start: Start = { exit: undefined, onEnd: () => {} };
    sandbox.starting.set(spec.id, start);
    try {
      const state = await this.#launch(sandbox, spec, signal);
      sandbox.containers.set(spec.id, start.exit ?? state);
      const exit = start.exit;
      // After the caller has seen that it started.
      if (exit) setImmediate(() => this.#emit({ event: "containerExited", sandbox: sandboxId, container: exit }));
      return state;
    } finally {
      sandbox.starting.delete(spec.id);
    }
  }

  async signalContainer(sandboxId: string, container: string, signalNumber: number): Promise<void> {
    const sandbox = this.#find(sandboxId, "signal container");
    await sandbox.client.request("SIGNAL", new FieldWriter().string("CONTAINER", container).u32("SIGNAL", signalNumber).finish());
  }

  async removeContainer(sandboxId: string, container: string): Promise<void> {
    const sandbox = this.#sandboxes.get(sandboxId);
    if (!sandbox) return;
    await sandbox.client.request("REMOVE", new FieldWriter().string("CONTAINER", container).finish());
    await this.#removeCgroup(`${sandbox.cgroup}/${container}`);
    sandbox.containers.delete(container);
  }

  async usage(sandboxId: string, container: string): Promise<ContainerUsage | undefined> {
    const sandbox = this.#sandboxes.get(sandboxId);
    if (sandbox?.containers.get(container)?.phase !== "running") return undefined;
    try {
      const { cpuNs = 0, memoryWorkingSetBytes = 0 } = await this.#parts.library.cgroupUsage(`${sandbox.cgroup}/${container}`);
      return { cpuNs, memoryWorkingSetBytes };
    } catch (error) {
      // It ended and was removed meanwhile.
      if (error instanceof RuntimeError && error.errno === constants.errno.ENOENT) return undefined;
      throw error;
    }
  }

  removeSandbox(id: string): Promise<void> {
    const running = this.#removals.get(id);
    if (running) return running;
    const removal = this.#remove(id).finally(() => this.#removals.delete(id));
    this.#removals.set(id, removal);
    return removal;
  }

  async exec(
    sandboxId: string,
    container: string,
    process: ProcessSpec,
    stdin: boolean,
    output: ExecOutput,
    signal: AbortSignal,
  ): Promise<ExecSession> {
    const sandbox = this.#find(sandboxId, "exec");
    const payload = encodeExec(container, process, stdin);
    const kill = (pid: number) => {
      // An exec that has ended is no longer there to be killed, and a shim that is gone has taken it along.
      sandbox.client.request("EXEC_KILL", new FieldWriter().u32("PID", pid).finish()).catch(() => {});
    };
    const socket = await connectShim(this.#socketPath(sandboxId), signal);
    return ShimSession.start(socket, { type: "EXEC", payload }, output, { kill, signal });
  }

  async attach(
    sandboxId: string,
    container: string,
    output: ExecOutput,
    signal: AbortSignal,
    options?: { readonly endsStdin: boolean },
  ): Promise<ExecSession> {
    this.#find(sandboxId, "attach");
    const payload = new FieldWriter()
      .string("CONTAINER", container)
      .bool("ENDS_STDIN", options?.endsStdin ?? false)
      .finish();
    const socket = await connectShim(this.#socketPath(sandboxId), signal);
    // What was written still arrives: the shim reads to the end.
    return ShimSession.start(socket, { type: "ATTACH", payload }, output, { kill: () => socket.end(), signal });
  }

  async connect(sandboxId: string, port: number, output: PortOutput, signal: AbortSignal): Promise<PortSession> {
    this.#find(sandboxId, "connect to port");
    const socket = await connectShim(this.#socketPath(sandboxId), signal);
    return ShimForward.start(socket, port, output, signal);
  }

  async recover(signal: AbortSignal): Promise<SandboxState[]> {
    const names = await namesIn(this.#parts.runDir);
    const events: RuntimeEvent[] = [];
    const found = await Promise.all(names.map((name) => this.#recoverOne(name, events, signal)));
    await this.#removeStrayCgroups();
    setImmediate(() => {
      for (const event of events) this.#emit(event);
    });
    return found.filter((state) => state !== undefined);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const sandbox of this.#sandboxes.values()) sandbox.client.close();
    this.#sandboxes.clear();
    await Promise.all(this.#background);
  }

  // ---- sandboxes ----

  #directory(id: string): string {
    return join(this.#parts.runDir, id);
  }

  #socketPath(id: string): string {
    return join(this.#directory(id), "shim.sock");
  }

  #checkId(id: string): void {
    const step = "create sandbox";
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(id))
      throw new RuntimeError("InvalidArgument", `${step}: "${id}" is no name for a sandbox`, { step });
    if (Buffer.byteLength(this.#socketPath(id)) > maxSocketPath)
      throw new RuntimeError("InvalidArgument", `${step}: ${this.#socketPath(id)} is too long for a socket; use a shorter run folder`, {
        step,
      });
  }

  #find(id: string, step: string): Sandbox {
    const sandbox = this.#sandboxes.get(id);
    if (!sandbox) throw new RuntimeError("NotFound", `${step}: there is no sandbox ${id}`, { step });
    return sandbox;
  }

  async #startShim(spec: SandboxSpec, signal: AbortSignal): Promise<SandboxState> {
    const { library, nativeDir } = this.#parts;
    const directory = this.#directory(spec.id);
    const shimCgroup = `${spec.cgroup}/shim`;
    await library.createCgroup(spec.cgroup, spec.resources);
    await library.createCgroup(shimCgroup, {});
    await library.spawnShim(
      {
        shimPath: join(nativeDir, "tessera-shim"),
        argv: shimArguments(spec, directory),
        env: [],
        cgroupDirs: await library.cgroupDirs(shimCgroup),
        logPath: join(directory, "shim.log"),
        ...(spec.network.kind === "netns" ? { netnsPath: spec.network.path } : {}),
      },
      signal,
    );
    return stateOf(await this.#connect(spec.id, spec.cgroup, signal));
  }

  /** Connects to the sandbox's shim and takes its state over. */
  async #connect(id: string, cgroup: string, signal: AbortSignal): Promise<Sandbox> {
    const socket = await connectShim(this.#socketPath(id), signal);
    const early: Frame[] = [];
    let sandbox: Sandbox | undefined;
    const client = new ShimClient(socket, {
      onEvent: (frame) => (sandbox ? this.#take(sandbox, frame) : early.push(frame)),
      onClose: () => sandbox && this.#connectionEnded(sandbox),
    });
    try {
      const state = await client.request("STATE", new Uint8Array(), signal);
      if (state.string("SANDBOX") !== id)
        throw new RuntimeError("Internal", `sandbox ${id} is answered for by the shim of ${state.string("SANDBOX")}`, {
          step: "connect to shim",
        });
      const containers = state.all("CONTAINER_STATE").map(decodeContainerState);
      sandbox = {
        id,
        cgroup,
        pid: state.u32("PID"),
        client,
        containers: new Map(containers.map((container) => [container.id, container])),
        starting: new Map(),
        closing: false,
      };
    } catch (error) {
      client.close();
      throw error;
    }
    this.#sandboxes.set(id, sandbox);
    for (const frame of early) this.#take(sandbox, frame);
    return sandbox;
  }

  /** Right for every half: each part is taken away whether or not it was ever made, the record last. */
  async #remove(id: string): Promise<void> {
    const directory = this.#directory(id);
    const sandbox = this.#sandboxes.get(id);
    const cgroup = sandbox?.cgroup ?? (await readRecord(directory))?.cgroup;
    if (sandbox) {
      sandbox.closing = true;
      await this.#shutDown(sandbox);
      this.#sandboxes.delete(id);
      sandbox.client.close();
    }
    await this.#takeAway(directory, cgroup);
  }

  async #takeAway(directory: string, cgroup: string | undefined): Promise<void> {
    if (cgroup !== undefined) await this.#removeCgroup(cgroup);
    await this.#parts.files.unmountBelow(directory);
    await rm(directory, { recursive: true, force: true });
  }

  /** Asks the shim to end: it reaps its containers, and a v1 cgroup is then free at once. What is left is killed by cgroup. */
  async #shutDown(sandbox: Sandbox): Promise<void> {
    try {
      await sandbox.client.request("SHUTDOWN", new Uint8Array(), AbortSignal.timeout(shutdownTimeoutMs));
    } catch (error) {
      this.#parts.log.info({ sandbox: sandbox.id, err: error }, "the shim did not end by itself");
    }
  }

  async #removeCgroup(path: string): Promise<void> {
    await this.#parts.library.killCgroup(path);
    await this.#parts.library.removeCgroup(path);
  }

  /** Runs an undo; its failure is reported but does not hide what it is the undo of. */
  async #undo(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#parts.log.warn({ err: error }, `cannot undo ${what}; the next removal tries again`);
    }
  }

  // ---- containers ----

  async #launch(sandbox: Sandbox, spec: ContainerSpec, signal: AbortSignal): Promise<Running> {
    const { library } = this.#parts;
    const cgroup = `${sandbox.cgroup}/${spec.id}`;
    try {
      const confined = spec.seccomp === "RuntimeDefault" && !spec.privileged;
      const [filter] = await Promise.all([
        confined ? library.defaultSeccompFilter(spec.capabilities) : undefined,
        library.createCgroup(cgroup, spec.resources, { defaultDevices: !spec.privileged }),
      ]);
      const payload = encodeContainer(spec, await library.cgroupDirs(cgroup), filter);
      throwIfCancelled(signal, "start container");
      return await this.#askToStart(sandbox, spec.id, payload, signal);
    } catch (error) {
      await this.#undo(`container ${spec.id}`, () => this.#removeCgroup(cgroup));
      throw error;
    }
  }

  async #askToStart(sandbox: Sandbox, id: string, payload: Uint8Array, signal: AbortSignal): Promise<Running> {
    // The shim answers when the start is over, and a killed one is over soon: its answer is awaited in any case.
    const onAbort = () => {
      const kill = new FieldWriter().string("CONTAINER", id).u32("SIGNAL", constants.signals.SIGKILL).finish();
      sandbox.client.request("SIGNAL", kill).catch(() => {});
    };
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const fields = await sandbox.client.request("START", payload);
      if (signal.aborted) await this.#forget(sandbox, id);
      throwIfCancelled(signal, "start container");
      return { phase: "running", id, pid: fields.u32("PID"), startedAtMs: fields.u64("STARTED_AT") };
    } catch (error) {
      if (signal.aborted) throw cancelled("start container", signal);
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Of a container that was killed right after its start. */
  async #forget(sandbox: Sandbox, id: string): Promise<void> {
    const start = sandbox.starting.get(id);
    if (start && !start.exit) await new Promise<void>((resolve) => Object.assign(start, { onEnd: resolve }));
    await sandbox.client.request("REMOVE", new FieldWriter().string("CONTAINER", id).finish());
  }

  #take(sandbox: Sandbox, frame: Frame): void {
    if (frame.type !== frames.EXITED) return;
    const [fields] = new Fields(frame.payload).all("CONTAINER_STATE");
    const state = fields && decodeContainerState(fields);
    if (state?.phase !== "exited") return;
    const start = sandbox.starting.get(state.id);
    if (start) {
      start.exit = state;
      start.onEnd();
    } else this.#exited(sandbox, state);
  }

  #exited(sandbox: Sandbox, exit: Exit): void {
    sandbox.containers.set(exit.id, exit);
    this.#emit({ event: "containerExited", sandbox: sandbox.id, container: exit });
  }

  // ---- loss and recovery ----

  #connectionEnded(sandbox: Sandbox): void {
    for (const start of sandbox.starting.values()) start.onEnd();
    if (sandbox.closing || this.#closed) return;
    this.#sandboxes.delete(sandbox.id);
    const work = this.#lose(sandbox).finally(() => this.#background.delete(work));
    this.#background.add(work);
  }

  /**
   * Usually the shim is gone, and its containers with it; what else is in the pod's cgroup is killed. The record stays
   * until removal. But a shim that merely hung up (on an agent that had stopped reading) answers again.
   */
  async #lose(sandbox: Sandbox): Promise<void> {
    const { log, library } = this.#parts;
    if (await this.#reconnect(sandbox)) return;
    log.warn({ sandbox: sandbox.id, pid: sandbox.pid }, "the pod's shim is gone");
    try {
      await library.killCgroup(sandbox.cgroup);
      await this.#reportExits(sandbox);
    } catch (error) {
      log.warn({ sandbox: sandbox.id, err: error }, "cannot clean up after a lost shim; the removal tries again");
    }
    this.#emit({ event: "sandboxLost", sandbox: sandbox.id });
  }

  async #reconnect(lost: Sandbox): Promise<boolean> {
    try {
      const again = await this.#connect(lost.id, lost.cgroup, AbortSignal.timeout(reconnectTimeoutMs));
      for (const state of again.containers.values())
        if (state.phase === "exited" && lost.containers.get(state.id)?.phase === "running") this.#exited(again, state);
      return true;
    } catch (error) {
      this.#parts.log.info({ sandbox: lost.id, err: error }, "the pod's shim does not answer again");
      return false;
    }
  }

  /** Exits that the shim wrote down but could not tell any more. */
  async #reportExits(sandbox: Sandbox): Promise<void> {
    for (const exit of await readExits(this.#directory(sandbox.id)))
      if (sandbox.containers.get(exit.id)?.phase === "running") this.#exited(sandbox, exit);
  }

  async #recoverOne(name: string, events: RuntimeEvent[], signal: AbortSignal): Promise<SandboxState | undefined> {
    const directory = this.#directory(name);
    const record = await readRecord(directory);
    if (record) {
      const known = this.#sandboxes.get(name);
      if (known) return stateOf(known);
      try {
        return stateOf(await this.#connect(name, record.cgroup, signal));
      } catch (error) {
        if (signal.aborted) throw cancelled("recover", signal);
        this.#parts.log.warn({ sandbox: name, err: error }, "a sandbox has no shim any more and is removed");
      }
      for (const exit of await readExits(directory)) events.push({ event: "containerExited", sandbox: name, container: exit });
      events.push({ event: "sandboxLost", sandbox: name });
    }
    await this.#takeAway(directory, record?.cgroup);
    return undefined;
  }

  /** The record is removed after the cgroup, so this finds only what somebody else broke; but then it would stay for ever. */
  async #removeStrayCgroups(): Promise<void> {
    const known = new Set([...this.#sandboxes.values()].map((sandbox) => sandbox.cgroup));
    for (const cgroup of await this.#parts.library.listCgroups())
      if (cgroup.startsWith("pod") && !known.has(cgroup)) await this.#undo(`cgroup ${cgroup}`, () => this.#removeCgroup(cgroup));
  }

  #emit(event: RuntimeEvent): void {
    if (!this.#closed) this.#listener(event);
  }
}

function shimArguments(spec: SandboxSpec, directory: string): string[] {
  const argv = ["tessera-shim", "--id", spec.id, "--run-dir", directory, "--hostname", spec.hostname];
  if (spec.hostIpc) argv.push("--host-ipc");
  if (spec.network.kind === "host") argv.push("--host-network");
  for (const [name, value] of Object.entries(spec.sysctls)) argv.push("--sysctl", `${name}=${value}`);
  return argv;
}

function stateOf(sandbox: Sandbox): SandboxState {
  return { id: sandbox.id, pid: sandbox.pid, containers: [...sandbox.containers.values()] };
}

function fileError(cause: unknown, step: string, what: string): unknown {
  const code = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined;
  if (code === "EEXIST") return new RuntimeError("AlreadyExists", `${step}: ${what} exists`, { step, cause });
  if (code === "ENOSPC" || code === "EDQUOT") return new RuntimeError("NoSpace", `${step}: ${what}: no space`, { step, cause });
  return new RuntimeError("Internal", `${step}: ${what}: ${cause instanceof Error ? cause.message : cause}`, { step, cause });
}
