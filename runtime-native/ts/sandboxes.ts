import { constants } from "node:os";
import { EndedCgroups } from "./ended-cgroups.ts";
import type { HostFiles } from "./host-files.ts";
import type { NativeLibrary, SpawnedShim } from "./native-library.ts";
import { type Freezer, recallPaused, resumeAll } from "./pausing.ts";
import { type ContainerState, RuntimeError, type RuntimeEvent, type SandboxState } from "./runtime.ts";
import { type Exit, namesIn, readExits, readRecord } from "./sandbox-record.ts";
import { cancelled, ShimClient } from "./shim-client.ts";
import { ShimConnection } from "./shim-connection.ts";
import { decodeContainerState } from "./shim-messages.ts";
import { Fields, type Frame, frames } from "./shim-protocol.ts";

/** pino's shape. */
export interface RuntimeLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
}

export interface SandboxesParts {
  /** Sockets and records of the sandboxes, a folder each: on a file system that a reboot empties (/run/tessera). */
  readonly runDir: string;
  readonly log: RuntimeLog;
  readonly library: Pick<NativeLibrary, "killCgroup" | "clearCgroup" | "clearSandbox" | "listCgroups" | "removeEndedCgroups"> & Freezer;
  readonly files: Pick<HostFiles, "unmountBelow" | "removeTree">;
}

export type Running = Extract<ContainerState, { phase: "running" }>;

export interface Start {
  /** Set when it ended already. */
  exit: Exit | undefined;
  /** Called at its end, and when the shim is lost. */
  onEnd: () => void;
}

/** A sandbox with a shim we are connected to. */
export interface Sandbox {
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
 * The sandboxes of this node and the connections to their shims: what each shim tells of its containers, what happens when one is lost, how
 * all are found again by the next agent, how each is removed.
 */
export class Sandboxes {
  readonly #parts: SandboxesParts;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #removals = new Map<string, Promise<void>>();
  readonly #ended: EndedCgroups;
  readonly #background = new Set<Promise<void>>();
  #listener: (event: RuntimeEvent) => void = () => {};
  #closed = false;

  constructor(parts: SandboxesParts) {
    this.#parts = parts;
    this.#ended = new EndedCgroups(parts);
  }

  onEvent(listener: (event: RuntimeEvent) => void): void {
    this.#listener = listener;
  }

  /** Undefined also when its shim is lost. */
  get(id: string): Sandbox | undefined {
    return this.#sandboxes.get(id);
  }

  /** Throws NotFound when there is none. */
  find(id: string, step: string): Sandbox {
    const sandbox = this.#sandboxes.get(id);
    if (!sandbox) throw new RuntimeError("NotFound", `${step}: there is no sandbox ${id}`, { step });
    return sandbox;
  }

  /** Where the sandbox has its record, socket and exits. */
  directory(id: string): string {
    return `${this.#parts.runDir}/${id}`;
  }

  socketPath(id: string): string {
    return `${this.directory(id)}/shim.sock`;
  }

  /** Throws InvalidArgument for what cannot be a folder's name with a socket in it. */
  checkId(id: string): void {
    const step = "create sandbox";
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(id))
      throw new RuntimeError("InvalidArgument", `${step}: "${id}" is no name for a sandbox`, { step });
    if (Buffer.byteLength(this.socketPath(id)) > maxSocketPath)
      throw new RuntimeError("InvalidArgument", `${step}: ${this.socketPath(id)} is too long for a socket; use a shorter run folder`, {
        step,
      });
  }

  /** Takes over a shim that was just started, and has no containers. */
  adopt(id: string, cgroup: string, shim: SpawnedShim): Sandbox {
    const client = new ShimClient(shim.connection, {
      onEvent: (frame) => this.#take(sandbox, frame),
      onClose: () => this.#connectionEnded(sandbox),
    });
    const sandbox = newSandbox(id, cgroup, shim.pid, client);
    this.#sandboxes.set(id, sandbox);
    return sandbox;
  }

  /** Connects to a shim that another agent started, or that hung up, and takes its state over. */
  async connect(id: string, cgroup: string, signal: AbortSignal): Promise<Sandbox> {
    const connection = await ShimConnection.open(this.socketPath(id), signal);
    const early: Frame[] = [];
    let sandbox: Sandbox | undefined;
    const client = new ShimClient(connection, {
      onEvent: (frame) => (sandbox ? this.#take(sandbox, frame) : early.push(frame)),
      onClose: () => sandbox && this.#connectionEnded(sandbox),
    });
    try {
      const state = await client.request("STATE", new Uint8Array(), signal);
      if (state.string("SANDBOX") !== id)
        throw new RuntimeError("Internal", `sandbox ${id} is answered for by the shim of ${state.string("SANDBOX")}`, {
          step: "connect to shim",
        });
      sandbox = newSandbox(id, cgroup, state.u32("PID"), client);
      for (const container of state.all("CONTAINER_STATE").map(decodeContainerState)) sandbox.containers.set(container.id, container);
      await recallPaused(sandbox, this.#parts.library);
    } catch (error) {
      client.close();
      throw error;
    }
    this.#sandboxes.set(id, sandbox);
    for (const frame of early) this.#take(sandbox, frame);
    return sandbox;
  }

  /** Right when it never existed, half existed or is being removed. */
  remove(id: string): Promise<void> {
    const running = this.#removals.get(id);
    if (running) return running;
    const removal = this.#remove(id).finally(() => this.#removals.delete(id));
    this.#removals.set(id, removal);
    return removal;
  }

  /** Finds the sandboxes that an earlier agent left; those without a shim are removed, and told of afterwards. */
  async recover(signal: AbortSignal): Promise<SandboxState[]> {
    const names = await namesIn(this.#parts.runDir);
    const events: RuntimeEvent[] = [];
    const found = await Promise.all(names.map((name) => this.#recoverOne(name, events, signal)));
    await this.#removeStrayCgroups();
    this.#ended.expect();
    setImmediate(() => {
      for (const event of events) this.emit(event);
    });
    return found.filter((state) => state !== undefined);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const sandbox of this.#sandboxes.values()) sandbox.client.close();
    this.#sandboxes.clear();
    await Promise.all([...this.#background, this.#ended.close()]);
  }

  /** Right for every half: each part is taken away whether or not it was ever made, the record last. */
  async #remove(id: string): Promise<void> {
    const directory = this.directory(id);
    const sandbox = this.#sandboxes.get(id);
    const cgroup = sandbox?.cgroup ?? (await readRecord(directory))?.cgroup;
    if (sandbox) {
      sandbox.closing = true;
      await this.#shutDown(sandbox);
      this.#sandboxes.delete(id);
      sandbox.client.close();
    }
    await this.#takeAway(directory, cgroup, sandbox);
  }

  /** A shim that ended by itself has unmounted what it had mounted. Without a record there is no cgroup. */
  async #takeAway(folder: string, cgroup: string | undefined, sandbox?: Sandbox): Promise<void> {
    const { files, library } = this.#parts;
    const containers = [...(sandbox?.containers.keys() ?? [])];
    const clear = () =>
      cgroup === undefined ? files.removeTree(folder) : library.clearSandbox({ shim: sandbox?.pid ?? 0, cgroup, containers, folder });
    try {
      await clear();
    } catch (error) {
      if (!(error instanceof RuntimeError) || error.errno !== constants.errno.EBUSY) throw error;
      await files.unmountBelow(folder);
      await clear();
    }
    if (cgroup !== undefined) this.#ended.expect();
  }

  /** Asks the shim to end: it reaps its containers, answers and is gone a little later. What is left is killed by cgroup. */
  async #shutDown(sandbox: Sandbox): Promise<void> {
    const timer = setTimeout(() => sandbox.client.close(), shutdownTimeoutMs);
    try {
      const ended = sandbox.client.request("SHUTDOWN", new Uint8Array());
      await Promise.all([ended, resumeAll(sandbox, this.#parts.library)]);
    } catch (error) {
      this.#parts.log.info({ sandbox: sandbox.id, err: error }, "the shim did not end by itself");
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs an undo; its failure is reported but does not hide what it is the undo of. */
  async undo(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#parts.log.warn({ err: error }, `cannot undo ${what}; the next removal tries again`);
    }
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
    this.emit({ event: "containerExited", sandbox: sandbox.id, container: exit });
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
    this.emit({ event: "sandboxLost", sandbox: sandbox.id });
  }

  async #reconnect(lost: Sandbox): Promise<boolean> {
    try {
      const again = await this.connect(lost.id, lost.cgroup, AbortSignal.timeout(reconnectTimeoutMs));
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
    for (const exit of await readExits(this.directory(sandbox.id)))
      if (sandbox.containers.get(exit.id)?.phase === "running") this.#exited(sandbox, exit);
  }

  async #recoverOne(name: string, events: RuntimeEvent[], signal: AbortSignal): Promise<SandboxState | undefined> {
    const directory = this.directory(name);
    const record = await readRecord(directory);
    if (record) {
      const known = this.#sandboxes.get(name);
      if (known) return stateOf(known);
      try {
        return stateOf(await this.connect(name, record.cgroup, signal));
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
      if (cgroup.startsWith("pod") && !known.has(cgroup))
        await this.undo(`cgroup ${cgroup}`, () => this.#parts.library.clearCgroup(cgroup));
  }

  emit(event: RuntimeEvent): void {
    if (!this.#closed) this.#listener(event);
  }
}

function newSandbox(id: string, cgroup: string, pid: number, client: ShimClient): Sandbox {
  return { id, cgroup, pid, client, containers: new Map(), starting: new Map(), closing: false };
}

export function stateOf(sandbox: Sandbox): SandboxState {
  return { id: sandbox.id, pid: sandbox.pid, containers: [...sandbox.containers.values()] };
}
