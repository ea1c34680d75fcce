import { constants } from "node:os";
import { readableInJournal } from "@tessera/proto";
import { NativeHostFiles, NativeLibrary, NativeRuntime, type Runtime, type SandboxState } from "@tessera/runtime-native";
import { type Logger, pino } from "pino";
import { type Clock, systemClock } from "./clock.ts";
import { lockFolder } from "./lock-file.ts";
import { dataPaths, sandboxesFolder } from "./paths.ts";
import { type PodRecord, parseAttemptId } from "./pod/record.ts";
import { PodStore } from "./pod/store.ts";
import { toWanted } from "./pod/wanted.ts";
import type { InventorySettings } from "./settings.ts";

const { SIGKILL, SIGTERM } = constants.signals;
const recoverTimeoutMs = 30_000;

/**
 * Ends the containers of all pods of this node, each pod in its own time: for when the machine goes down. Pods stay the node's; the next agent
 * starts them again. Refuses while an agent runs.
 */
export async function stopPods({ dataDir, runDir, cgroupRoot, nativeDir }: InventorySettings): Promise<void> {
  const log = pino({ base: undefined }, readableInJournal(process.stderr));
  const unlock = lockFolder(dataDir);
  try {
    const library = new NativeLibrary({ nativeDir, cgroupRoot });
    const files = new NativeHostFiles({ library });
    const runtime = new NativeRuntime({ nativeDir, runDir: sandboxesFolder(runDir), log, library, files });
    const { records } = await new PodStore(dataPaths(dataDir).pods).load();
    await endPods({ runtime, records, clock: systemClock, log });
    await runtime.close();
    await library.close();
  } finally {
    unlock();
  }
}

export interface PodsToEnd {
  readonly runtime: Pick<Runtime, "onEvent" | "recover" | "signalContainer" | "resumeContainer">;
  readonly records: readonly PodRecord[];
  readonly clock: Clock;
  readonly log: Logger;
}

/** Sends every container its stop signal, and kills those of a pod that are left when the pod's grace is over. Resolves when none runs. */
export async function endPods(pods: PodsToEnd): Promise<void> {
  const exits = new Exits(pods.runtime);
  const sandboxes = await pods.runtime.recover(AbortSignal.timeout(recoverTimeoutMs));
  const records = new Map(pods.records.map((record) => [record.uid, record]));
  await Promise.all(sandboxes.map((sandbox) => endPod(sandbox, records.get(sandbox.id), pods, exits)));
}

async function endPod(sandbox: SandboxState, record: PodRecord | undefined, pods: PodsToEnd, exits: Exits): Promise<void> {
  const { runtime, clock, log } = pods;
  const containers = sandbox.containers.filter(({ phase }) => phase === "running");
  const tell = async (id: string, signal: number) => {
    try {
      await runtime.signalContainer(sandbox.id, id, signal);
    } catch (error) {
      // The shim is gone, and its containers with it; or it is not, and systemd ends it.
      log.warn({ err: error, pod: sandbox.id, container: id, signal }, "a container could not be told to end");
    }
  };
  const cancel = clock.wakeAt(clock.now() + graceMs(record, clock.now()), () => {
    for (const { id } of containers) if (!exits.has(sandbox.id, id)) void tell(id, SIGKILL);
  });
  for (const container of containers) {
    // One that stands still heeds nothing.
    if (container.phase === "running" && container.paused) await runtime.resumeContainer(sandbox.id, container.id);
    await tell(container.id, stopSignal(record, container.id));
  }
  await Promise.all(containers.map(({ id }) => exits.of(sandbox.id, id)));
  cancel();
}

/** What is left of a termination that has begun, or else the grace that the pod asks for. */
function graceMs(record: PodRecord | undefined, nowMs: number): number {
  if (record === undefined) return 0;
  if (record.killAtMs !== undefined) return Math.max(0, record.killAtMs - nowMs);
  return toWanted(record.pod, record.released).graceSeconds * 1000;
}

function stopSignal(record: PodRecord | undefined, id: string): number {
  const name = parseAttemptId(id)?.container;
  return (name === undefined ? undefined : record?.containers[name]?.stopSignal) ?? SIGTERM;
}

/** Which containers have ended, from the moment it is made. */
class Exits {
  readonly #ended = new Set<string>();
  readonly #lost = new Set<string>();
  readonly #waiting = new Set<() => void>();

  constructor(runtime: Pick<Runtime, "onEvent">) {
    runtime.onEvent((event) => {
      if (event.event === "sandboxLost") this.#lost.add(event.sandbox);
      else this.#ended.add(`${event.sandbox}/${event.container.id}`);
      for (const look of this.#waiting) look();
    });
  }

  has(sandbox: string, container: string): boolean {
    return this.#lost.has(sandbox) || this.#ended.has(`${sandbox}/${container}`);
  }

  /** Resolves when the container has ended. */
  of(sandbox: string, container: string): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!this.has(sandbox, container)) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }
}
