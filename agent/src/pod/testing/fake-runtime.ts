import { existsSync } from "node:fs";
import { dirname } from "node:path";
import {
  type AttachOptions,
  type ContainerAddress,
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
} from "@tessera/runtime-native";

type Exited = Extract<ContainerState, { phase: "exited" }>;

interface FakeContainer {
  spec: ContainerSpec;
  state: ContainerState;
}

interface FakeSandbox {
  spec: SandboxSpec;
  pid: number;
  containers: Map<string, FakeContainer>;
}

/**
 * What outlives an agent: the kernel with its sandboxes, as far as a `Runtime` shows it. Several FakeRuntimes, one after the other, can be
 * agents on one kernel.
 */
export class FakeKernel {
  readonly sandboxes = new Map<string, FakeSandbox>();
  /** Every container start, in order, to show that nothing ran twice. */
  readonly starts: string[] = [];
  /** Every command that was run in a container, in order: "main_0 cat /ok". */
  readonly execs: string[] = [];
  /** What commands end with, by all their words; else they are played. */
  readonly exitCodes = new Map<string, number>();
  readonly now: () => number;
  listener: ((event: RuntimeEvent) => void) | undefined;
  /** Sessions that are attached to a container. */
  readonly attached: { readonly sandbox: string; readonly container: string; readonly end: () => void }[] = [];
  nextPid = 1000;

  constructor(now: () => number = Date.now) {
    this.now = now;
  }

  /** The container's process ends by itself. */
  end(sandbox: string, container: string, how: { exitCode?: number; signal?: number; oomKilled?: boolean } = {}): void {
    const found = this.sandboxes.get(sandbox)?.containers.get(container);
    if (found?.state.phase !== "running") return;
    const exited: Exited = {
      phase: "exited",
      id: container,
      startedAtMs: found.state.startedAtMs,
      finishedAtMs: this.now(),
      exitCode: how.exitCode ?? 0,
      signal: how.signal ?? 0,
      oomKilled: how.oomKilled ?? false,
    };
    found.state = exited;
    for (const one of this.attached) if (one.sandbox === sandbox && one.container === container) one.end();
    this.listener?.({ event: "containerExited", sandbox, container: exited });
  }

  /** The sandbox's shim is killed, and its containers with it. */
  loseSandbox(sandbox: string): void {
    if (!this.sandboxes.delete(sandbox)) return;
    this.listener?.({ event: "sandboxLost", sandbox });
  }
}

/**
 * A `Runtime` without processes, for hollow nodes and tests. Containers run until told otherwise, but for a few commands that it plays:
 * `exit N` and `sh -c "exit N"` end at once, an exec of `hang` never does, `/no/such...` does not exist, and a container ends on a signal unless its command is
 * `ignore-signals`.
 */
export class FakeRuntime implements Runtime {
  readonly #kernel: FakeKernel;

  constructor(kernel: FakeKernel) {
    this.#kernel = kernel;
  }

  async createSandbox(spec: SandboxSpec, signal: AbortSignal): Promise<SandboxState> {
    await Promise.resolve();
    if (signal.aborted) throw new RuntimeError("Cancelled", "create sandbox: cancelled", { step: "create sandbox" });
    if (this.#kernel.sandboxes.has(spec.id))
      throw new RuntimeError("AlreadyExists", `sandbox ${spec.id} exists`, { step: "create sandbox" });
    const sandbox = { spec, pid: this.#kernel.nextPid++, containers: new Map<string, FakeContainer>() };
    this.#kernel.sandboxes.set(spec.id, sandbox);
    return toState(sandbox);
  }

  async startContainer(
    sandboxId: string,
    spec: ContainerSpec,
    signal: AbortSignal,
  ): Promise<Extract<ContainerState, { phase: "running" }>> {
    await Promise.resolve();
    if (signal.aborted) throw new RuntimeError("Cancelled", "start container: cancelled", { step: "start container" });
    const sandbox = this.#sandbox(sandboxId);
    if (sandbox.containers.has(spec.id))
      throw new RuntimeError("AlreadyExists", `container ${spec.id} exists`, { step: "start container" });
    const [command = ""] = spec.process.argv;
    if (command.startsWith("/no/such")) {
      throw new RuntimeError("CommandNotFound", `exec ${command}: no such file or directory`, { step: "exec", errno: 2 });
    }
    const { upper, work } = spec.rootfs;
    for (const folder of [upper, work, dirname(spec.log.path), ...spec.mounts.map((mount) => mount.source)]) {
      if (folder.startsWith("/") && !existsSync(folder)) {
        throw new RuntimeError("Internal", `mount: ${folder} does not exist`, { step: "mount", errno: 2 });
      }
    }
    const state = { phase: "running", id: spec.id, pid: this.#kernel.nextPid++, startedAtMs: this.#kernel.now() } as const;
    sandbox.containers.set(spec.id, { spec, state });
    this.#kernel.starts.push(`${sandboxId}/${spec.id}`);
    const exitCode = playedExit(spec.process.argv);
    if (exitCode !== undefined) queueMicrotask(() => this.#kernel.end(sandboxId, spec.id, { exitCode }));
    return state;
  }

  async signalContainer(sandboxId: string, container: string, signalNumber: number): Promise<void> {
    await Promise.resolve();
    const found = this.#sandbox(sandboxId).containers.get(container);
    if (found === undefined) throw new RuntimeError("NotFound", `no container ${container}`, { step: "signal" });
    const isPaused = found.state.phase === "running" && found.state.paused === true && signalNumber !== 9;
    if (isPaused) return;
    const isIgnored = found.spec.process.argv.includes("ignore-signals") && signalNumber !== 9;
    if (!isIgnored) this.#kernel.end(sandboxId, container, { exitCode: 128 + signalNumber, signal: signalNumber });
  }

  async pauseContainer(sandboxId: string, container: string): Promise<void> {
    await Promise.resolve();
    this.#setPaused(sandboxId, container, true);
  }

  async resumeContainer(sandboxId: string, container: string): Promise<void> {
    await Promise.resolve();
    this.#setPaused(sandboxId, container, false);
  }

  async removeContainer(sandboxId: string, container: string): Promise<void> {
    await Promise.resolve();
    this.#kernel.sandboxes.get(sandboxId)?.containers.delete(container);
  }

  async removeSandbox(sandboxId: string): Promise<void> {
    await Promise.resolve();
    this.#kernel.sandboxes.delete(sandboxId);
  }

  async exec(
    sandboxId: string,
    container: string,
    process: ProcessSpec,
    _stdin: boolean,
    output: ExecOutput,
    _signal: AbortSignal,
  ): Promise<ExecSession> {
    const state = this.#sandbox(sandboxId).containers.get(container)?.state;
    if (state?.phase === "running" && state.paused)
      throw new RuntimeError("InvalidArgument", `exec: container ${container} is paused; resume it first`, { step: "exec" });
    if (state?.phase !== "running") {
      throw new RuntimeError("NotFound", `container ${container} does not run`, { step: "exec" });
    }
    const [command = ""] = process.argv;
    if (command.startsWith("/no/such")) throw new RuntimeError("CommandNotFound", `exec ${command}: no such file`, { step: "exec" });
    const exited = Promise.withResolvers<{ exitCode: number }>();
    const words = process.argv.join(" ");
    this.#kernel.execs.push(`${container} ${words}`);
    if (command === "echo") await output.stdout(Buffer.from(`${process.argv.slice(1).join(" ")}\n`));
    const isOpen = command === "cat" || command === "hang";
    if (!isOpen) exited.resolve({ exitCode: this.#kernel.exitCodes.get(words) ?? playedExit(process.argv) ?? 0 });
    return {
      write: async (chunk) => {
        await output.stdout(chunk);
      },
      closeStdin: () => exited.resolve({ exitCode: 0 }),
      resize: () => undefined,
      kill: () => exited.resolve({ exitCode: 137 }),
      exited: exited.promise,
    };
  }

  /** What is written comes back, as from a container that echoes its stdin and ends with it. */
  async attach(
    sandboxId: string,
    container: string,
    output: ExecOutput,
    signal: AbortSignal,
    options?: AttachOptions,
  ): Promise<ExecSession> {
    const found = this.#sandbox(sandboxId).containers.get(container);
    if (found?.state.phase !== "running") throw new RuntimeError("NotFound", `container ${container} does not run`, { step: "attach" });
    const exited = Promise.withResolvers<{ exitCode: number }>();
    exited.promise.catch(() => undefined);
    this.#kernel.attached.push({ sandbox: sandboxId, container, end: () => exited.resolve({ exitCode: 0 }) });
    const leave = () => {
      if (options?.endsStdin === true) this.#kernel.end(sandboxId, container);
      exited.reject(new RuntimeError("Cancelled", "attach: left", { step: "attach" }));
    };
    signal.addEventListener("abort", leave, { once: true });
    return {
      write: async (chunk) => {
        if (found.spec.stdin) await output.stdout(chunk);
      },
      closeStdin: () => this.#kernel.end(sandboxId, container),
      resize: () => undefined,
      kill: leave,
      exited: exited.promise,
    };
  }

  /** Port 7 echoes; nobody listens on any other. */
  async connect(sandboxId: string, port: number, output: PortOutput, signal: AbortSignal): Promise<PortSession> {
    this.#sandbox(sandboxId);
    if (port !== 7) {
      throw new RuntimeError("Internal", `connect to port: localhost:${port}: connection refused`, { step: "connect to port", errno: 111 });
    }
    const closed = Promise.withResolvers<void>();
    closed.promise.catch(() => undefined);
    const destroy = () => closed.reject(new RuntimeError("Cancelled", "connect to port: cancelled", { step: "connect to port" }));
    signal.addEventListener("abort", destroy, { once: true });
    return {
      write: async (chunk) => await output.data(chunk),
      end: () => void Promise.resolve(output.end()).then(closed.resolve, closed.reject),
      destroy,
      closed: closed.promise,
    };
  }

  /** A hundredth of a processor and a mebibyte. */
  async usage(containers: readonly ContainerAddress[]): Promise<(ContainerUsage | undefined)[]> {
    return containers.map(({ sandbox, container }) => {
      const state = this.#kernel.sandboxes.get(sandbox)?.containers.get(container)?.state;
      if (state?.phase !== "running") return undefined;
      const ranMs = this.#kernel.now() - state.startedAtMs;
      return { timeNs: process.hrtime.bigint(), cpuNs: BigInt(Math.round(ranMs * 10_000)), memoryWorkingSetBytes: 1n << 20n };
    });
  }

  async recover(_signal: AbortSignal): Promise<SandboxState[]> {
    return [...this.#kernel.sandboxes.values()].map(toState);
  }

  onEvent(listener: (event: RuntimeEvent) => void): void {
    this.#kernel.listener = listener;
  }

  async close(): Promise<void> {
    this.#kernel.listener = undefined;
  }

  #setPaused(sandboxId: string, container: string, paused: boolean): void {
    const found = this.#sandbox(sandboxId).containers.get(container);
    if (found?.state.phase !== "running") return;
    const { paused: _, ...running } = found.state;
    found.state = paused ? { ...running, paused: true } : running;
  }

  #sandbox(id: string): FakeSandbox {
    const sandbox = this.#kernel.sandboxes.get(id);
    if (sandbox === undefined) throw new RuntimeError("NotFound", `no sandbox ${id}`, { step: "find sandbox" });
    return sandbox;
  }
}

function toState(sandbox: FakeSandbox): SandboxState {
  return { id: sandbox.spec.id, pid: sandbox.pid, containers: [...sandbox.containers.values()].map((container) => container.state) };
}

function playedExit(argv: readonly string[]): number | undefined {
  const match = /(?:^|\s)exit (\d+)$/.exec(argv.join(" "));
  return match?.[1] === undefined ? undefined : Number(match[1]);
}
