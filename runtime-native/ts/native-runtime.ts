import { existsSync, mkdirSync } from "node:fs";
import { constants } from "node:os";
import type { NativeLibrary } from "./native-library.ts";
import { setPaused } from "./pausing.ts";
import {
  type AttachOptions,
  type ContainerAddress,
  type ContainerSpec,
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
import { encodeRecord } from "./sandbox-record.ts";
import { type Running, type Sandbox, Sandboxes, type SandboxesParts, type Start, stateOf } from "./sandboxes.ts";
import { cancelled, connectShim, throwIfCancelled } from "./shim-client.ts";
import { ShimForward } from "./shim-forward.ts";
import { encodeContainer, encodeExec } from "./shim-messages.ts";
import { FieldWriter } from "./shim-protocol.ts";
import { ShimSession } from "./shim-session.ts";

/** What the runtime needs of libtessera. */
export type RuntimeLibrary = SandboxesParts["library"] &
  Pick<NativeLibrary, "spawnShim" | "createCgroup" | "cgroupSamples" | "defaultSeccompFilter" | "compileSeccompProfile">;

export interface NativeRuntimeParts extends SandboxesParts {
  /** Folder that holds `tessera-shim`. */
  readonly nativeDir: string;
  /** Static busybox that execs of "tar" and "test" fall back on in images without them (docs/decisions/0041-copying-without-tar.md). */
  readonly copyTools?: string;
  readonly library: RuntimeLibrary;
}

/**
 * Runs pods with one shim process each, which is the parent of the containers and outlives this process.
 *
 *     RUN/<pod>/sandbox.json   the journal: written first, removed last
 *     RUN/<pod>/shim.sock      where the shim listens
 *     RUN/<pod>/shim.log       what a shim that cannot start says
 *     RUN/<pod>/shm            the pod's /dev/shm
 *     RUN/<pod>/proc           /proc of the PID namespace that containers share, if they do
 *     RUN/<pod>/<container>.exit
 *
 * The pod's cgroup holds the shim (with v2 in its child "shim") and one child per container: whatever happens, killing that
 * cgroup ends everything of the pod.
 */
export class NativeRuntime implements Runtime {
  readonly #parts: NativeRuntimeParts;
  readonly #sandboxes: Sandboxes;
  #hasRunDir = false;

  constructor(parts: NativeRuntimeParts) {
    this.#parts = parts;
    this.#sandboxes = new Sandboxes(parts);
  }

  onEvent(listener: (event: RuntimeEvent) => void): void {
    this.#sandboxes.onEvent(listener);
  }

  async createSandbox(spec: SandboxSpec, signal: AbortSignal): Promise<SandboxState> {
    const step = "create sandbox";
    throwIfCancelled(signal, step);
    this.#sandboxes.checkId(spec.id);
    // Whatever fails from here on is undone, so nobody else's may be there.
    if (existsSync(this.#sandboxes.directory(spec.id))) throw alreadyExists(step, spec.id);
    try {
      return await this.#startShim(spec, signal);
    } catch (error) {
      if (error instanceof RuntimeError && error.step === "make sandbox's folder") {
        if (error.reason === "AlreadyExists") throw alreadyExists(step, spec.id, error);
        throw error;
      }
      await this.#sandboxes.undo(`sandbox ${spec.id}`, () => this.removeSandbox(spec.id));
      if (signal.aborted) throw cancelled(step, signal);
      throw error;
    }
  }

  async startContainer(sandboxId: string, spec: ContainerSpec, signal: AbortSignal): Promise<Running> {
    const step = "start container";
    throwIfCancelled(signal, step);
    const sandbox = this.#sandboxes.find(sandboxId, step);
    if (sandbox.containers.has(spec.id) || sandbox.starting.has(spec.id))
      throw new RuntimeError("AlreadyExists", `${step}: there is a container ${spec.id} in sandbox ${sandboxId}`, { step });
    const start: Start = { exit: undefined, onEnd: () => {} };
    sandbox.starting.set(spec.id, start);
    try {
      const state = await this.#launch(sandbox, spec, signal);
      sandbox.containers.set(spec.id, start.exit ?? state);
      const exit = start.exit;
      // After the caller has seen that it started.
      if (exit) setImmediate(() => this.#sandboxes.emit({ event: "containerExited", sandbox: sandboxId, container: exit }));
      return state;
    } finally {
      sandbox.starting.delete(spec.id);
    }
  }

  async signalContainer(sandboxId: string, container: string, signalNumber: number): Promise<void> {
    const sandbox = this.#sandboxes.find(sandboxId, "signal container");
    await sandbox.client.request("SIGNAL", new FieldWriter().string("CONTAINER", container).u32("SIGNAL", signalNumber).finish());
    // On cgroup v1 nothing wakes a frozen process, not even this.
    if (signalNumber === constants.signals.SIGKILL) await setPaused(sandbox, container, false, this.#parts.library);
  }

  async pauseContainer(sandboxId: string, container: string): Promise<void> {
    await setPaused(this.#sandboxes.find(sandboxId, "pause container"), container, true, this.#parts.library);
  }

  async resumeContainer(sandboxId: string, container: string): Promise<void> {
    await setPaused(this.#sandboxes.find(sandboxId, "resume container"), container, false, this.#parts.library);
  }

  async removeContainer(sandboxId: string, container: string): Promise<void> {
    const sandbox = this.#sandboxes.get(sandboxId);
    if (!sandbox) return;
    await sandbox.client.request("REMOVE", new FieldWriter().string("CONTAINER", container).finish());
    await this.#parts.library.clearCgroup(`${sandbox.cgroup}/${container}`);
    sandbox.containers.delete(container);
  }

  async usage(containers: readonly ContainerAddress[]): Promise<(ContainerUsage | RuntimeError | undefined)[]> {
    const cgroups = containers.map(({ sandbox: id, container }) => {
      const sandbox = this.#sandboxes.get(id);
      return sandbox?.containers.get(container)?.phase === "running" ? `${sandbox.cgroup}/${container}` : undefined;
    });
    const samples = await this.#parts.library.cgroupSamples(cgroups.filter((cgroup) => cgroup !== undefined));
    let next = 0;
    return cgroups.map((cgroup) => (cgroup === undefined ? undefined : samples[next++]));
  }

  async exec(
    sandboxId: string,
    container: string,
    process: ProcessSpec,
    stdin: boolean,
    output: ExecOutput,
    signal: AbortSignal,
  ): Promise<ExecSession> {
    const sandbox = this.#sandboxes.find(sandboxId, "exec");
    const state = sandbox.containers.get(container);
    if (state?.phase === "running" && state.paused)
      throw new RuntimeError("InvalidArgument", `exec: container ${container} is paused; resume it first`, { step: "exec" });
    const payload = encodeExec(container, process, stdin);
    const kill = (pid: number) => {
      // An exec that has ended is no longer there to be killed, and a shim that is gone has taken it along.
      sandbox.client.request("EXEC_KILL", new FieldWriter().u32("PID", pid).finish()).catch(() => {});
    };
    const socket = await connectShim(this.#sandboxes.socketPath(sandboxId), signal);
    return ShimSession.start(socket, { type: "EXEC", payload }, output, { kill, signal });
  }

  async attach(
    sandboxId: string,
    container: string,
    output: ExecOutput,
    signal: AbortSignal,
    options?: AttachOptions,
  ): Promise<ExecSession> {
    this.#sandboxes.find(sandboxId, "attach");
    const payload = new FieldWriter()
      .string("CONTAINER", container)
      .bool("ENDS_STDIN", options?.endsStdin ?? false)
      .bool("EARLY_OUTPUT", options?.earlyOutput ?? false)
      .finish();
    const socket = await connectShim(this.#sandboxes.socketPath(sandboxId), signal);
    // What was written still arrives: the shim reads to the end.
    return ShimSession.start(socket, { type: "ATTACH", payload }, output, { kill: () => socket.end(), signal });
  }

  async connect(sandboxId: string, port: number, output: PortOutput, signal: AbortSignal): Promise<PortSession> {
    this.#sandboxes.find(sandboxId, "connect to port");
    const socket = await connectShim(this.#sandboxes.socketPath(sandboxId), signal);
    return ShimForward.start(socket, port, output, signal);
  }

  removeSandbox(id: string): Promise<void> {
    return this.#sandboxes.remove(id);
  }

  recover(signal: AbortSignal): Promise<SandboxState[]> {
    return this.#sandboxes.recover(signal);
  }

  close(): Promise<void> {
    return this.#sandboxes.close();
  }

  async #startShim(spec: SandboxSpec, signal: AbortSignal): Promise<SandboxState> {
    const { library, nativeDir } = this.#parts;
    const directory = this.#sandboxes.directory(spec.id);
    if (!this.#hasRunDir) mkdirSync(this.#parts.runDir, { recursive: true, mode: 0o700 });
    this.#hasRunDir = true;
    const shim = await library.spawnShim(
      {
        folder: { path: directory, record: encodeRecord({ id: spec.id, cgroup: spec.cgroup }) },
        shimPath: `${nativeDir}/tessera-shim`,
        argv: shimArguments(spec, directory, this.#parts.copyTools),
        env: [],
        cgroup: { path: spec.cgroup, resources: spec.resources },
        logPath: `${directory}/shim.log`,
        ...(spec.network.kind === "netns" ? { netnsPath: spec.network.path } : {}),
      },
      signal,
    );
    return stateOf(this.#sandboxes.adopt(spec.id, spec.cgroup, shim));
  }

  async #launch(sandbox: Sandbox, spec: ContainerSpec, signal: AbortSignal): Promise<Running> {
    const { library } = this.#parts;
    const cgroup = `${sandbox.cgroup}/${spec.id}`;
    const filter = await this.#filter(spec);
    try {
      const cgroupDirs = await library.createCgroup(cgroup, spec.resources, { defaultDevices: !spec.privileged });
      const payload = encodeContainer(spec, cgroupDirs, filter);
      throwIfCancelled(signal, "start container");
      return await this.#askToStart(sandbox, spec.id, payload, signal);
    } catch (error) {
      await this.#sandboxes.undo(`container ${spec.id}`, () => this.#parts.library.clearCgroup(cgroup));
      throw error;
    }
  }

  async #filter({ seccomp, privileged, capabilities }: ContainerSpec): Promise<Uint8Array | undefined> {
    const { library } = this.#parts;
    if (privileged || seccomp === "Unconfined") return undefined;
    return seccomp === "RuntimeDefault" ? await library.defaultSeccompFilter(capabilities) : await library.compileSeccompProfile(seccomp);
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
}

function shimArguments(spec: SandboxSpec, directory: string, copyTools: string | undefined): string[] {
  const argv = ["tessera-shim", "--id", spec.id, "--run-dir", directory, "--hostname", spec.hostname];
  if (spec.hostIpc) argv.push("--host-ipc");
  if (spec.sharePids) argv.push("--share-pids");
  if (spec.network.kind === "host") argv.push("--host-network");
  if (copyTools !== undefined) argv.push("--copy-tools", copyTools);
  for (const [name, value] of Object.entries(spec.sysctls)) argv.push("--sysctl", `${name}=${value}`);
  return argv;
}

function alreadyExists(step: string, id: string, cause?: unknown): RuntimeError {
  return new RuntimeError("AlreadyExists", `${step}: sandbox ${id} exists`, { step, cause });
}
