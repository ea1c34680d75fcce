import { type Pod, TesseraError } from "@tessera/proto";
import type { ContainerState, HostFiles, NodeNetwork, Runtime, RuntimeEvent, SandboxState } from "@tessera/runtime-native";
import type { ImagePuller, ImageStore } from "../images/index.ts";
import type { AddressPool } from "../network/addresses.ts";
import { podReferences } from "../objects/pod-references.ts";
import type { ObjectKey, ReferencedObjects } from "../objects/referenced-objects.ts";
import { type Footprint, toRejection } from "./admission.ts";
import type { PodDependencies } from "./dependencies.ts";
import { newRecord, type PodEnd, type PodRecord, parseAttemptId } from "./record.ts";
import { seedFromStatus } from "./seed.ts";
import { PodState } from "./state.ts";
import type { Poke } from "./step-rules.ts";
import { type PodStore, podFolders } from "./store.ts";
import { readLastWords } from "./termination-message.ts";
import { toWanted, type WantedPod } from "./wanted.ts";
import { PodWorker } from "./worker.ts";

export interface PodsDependencies extends PodDependencies {
  readonly runtime: Runtime;
  readonly network: Pick<NodeNetwork, "createPodNetns" | "releaseNetns" | "openHostPorts" | "closeHostPorts" | "listHostPorts">;
  readonly hostFiles: HostFiles;
  readonly images: ImageStore & ImagePuller;
  readonly addresses: AddressPool;
  readonly objects: ReferencedObjects;
  readonly store: PodStore;
  /** Why the node will not take the pod in, beside others that are there; undefined when it will. */
  readonly refusalOf: (pod: Pod, others: readonly PresentPod[]) => PodEnd | undefined;
}

/** A pod that holds its part of the node. */
export interface PresentPod {
  readonly uid: string;
  readonly footprint: Footprint;
}

/** All pods of the node: one worker each, and who hears of what. */
export class Pods {
  readonly #deps: PodsDependencies;
  readonly #workerDeps: PodDependencies;
  readonly #workers = new Map<string, PodWorker>();
  #stopped = false;

  constructor(deps: PodsDependencies) {
    this.#deps = deps;
    const { reports } = deps;
    this.#workerDeps = {
      ...deps,
      reports: {
        ...reports,
        status: (want, status) => reports.status(want, status),
        event: (want, event) => reports.event(want, event),
        gone: (want) => {
          this.#workers.delete(want.uid);
          reports.gone(want);
        },
      },
    };
  }

  /**
   * Finds again what an earlier agent left: pods by their records, sandboxes by the runtime. What belongs to no record is removed. Workers
   * exist afterwards but do nothing before `start`.
   */
  async recover(signal: AbortSignal): Promise<void> {
    const { store, runtime, addresses, clock, log } = this.#deps;
    const { records, broken } = await store.load();
    const early: RuntimeEvent[] = [];
    runtime.onEvent((event) => early.push(event));
    const sandboxes = new Map((await runtime.recover(signal)).map((sandbox) => [sandbox.id, sandbox]));
    // A shim that died while there was no agent may have left word of exits, which the runtime tells right after it has recovered.
    await new Promise((resolve) => setImmediate(resolve));
    const owners = new Set(records.map((record) => record.uid));
    await addresses.load(owners);
    await this.#removeOrphans(owners, [...sandboxes.values()], broken);
    for (const record of records) {
      try {
        const want = toWanted(record.pod, record.released);
        const sandbox = sandboxes.get(record.uid);
        const exits = exitsOf(record.uid, early);
        const lastWords = await this.#lastWords(want, [...(sandbox?.containers ?? []), ...exits]);
        const nowMs = clock.now();
        const state = PodState.recovered({ record, address: addresses.addressOf(record.uid), sandbox, exits, lastWords, nowMs });
        if (state.sandbox === "unclear") state.noteSandboxLost(want, nowMs);
        this.#add(want, state);
      } catch (error) {
        log.error({ pod: record.uid, err: error }, "could not recover a pod");
      }
    }
    runtime.onEvent((event) => this.#hear(event));
    for (const event of early) this.#hear(event);
    log.info({ pods: records.length, sandboxes: sandboxes.size }, "recovered");
  }

  /** Of containers that ended while no agent was there to hear it: their folders are removed as soon as a worker begins. */
  async #lastWords(want: WantedPod, containers: readonly ContainerState[]): Promise<Map<string, string>> {
    const folders = podFolders(this.#deps.store.root, want.uid);
    const words = new Map<string, string>();
    for (const found of containers) {
      const id = parseAttemptId(found.id);
      if (found.phase === "exited" && id !== undefined)
        words.set(found.id, await readLastWords(want, folders, { ...id, exitCode: found.exitCode }));
    }
    return words;
  }

  start(): void {
    for (const worker of this.#workers.values()) worker.start();
  }

  /** The pod should be as the object says. */
  assign(pod: Pod): void {
    if (this.#stopped) return;
    const uid = pod.metadata?.uid ?? "";
    const worker = this.#workers.get(uid);
    if (worker === undefined) {
      const { clock } = this.#deps;
      const want = toWanted(pod, false);
      const record = newRecord(uid, pod, clock.now());
      seedFromStatus(record, pod, clock.now());
      this.#admit(want, record);
      this.#add(want, PodState.fresh(record)).start();
    } else if (worker.want.desire.is !== "remove") {
      worker.update(toWanted(pod, false));
    }
  }

  /** Turns away a pod that is new here and that the node cannot take. What it has taken in once it does not refuse, whatever has changed since. */
  #admit(want: WantedPod, record: PodRecord): void {
    if (want.desire.is !== "run" || record.ended !== undefined || want.pod.status?.startTime !== undefined) return;
    const { refusalOf, reports } = this.#deps;
    const others = this.all().flatMap((worker) => (worker.holdsRoom ? [{ uid: worker.want.uid, footprint: worker.footprint }] : []));
    const refusal = refusalOf(want.pod, others);
    if (refusal === undefined) return;
    record.ended = toRejection(refusal);
    reports.event(want, { type: "Warning", ...refusal, fieldPath: "" });
  }

  /** The pod's object is gone, or never was this node's. */
  release(uid: string): void {
    const worker = this.#workers.get(uid);
    worker?.update(toWanted(worker.want.pod, true));
  }

  /** Removes what the control plane, knowing all, no longer knows. */
  keepOnly(uids: ReadonlySet<string>): void {
    for (const uid of [...this.#workers.keys()]) if (!uids.has(uid)) this.release(uid);
  }

  get(uid: string): PodWorker | undefined {
    return this.#workers.get(uid);
  }

  all(): readonly PodWorker[] {
    return [...this.#workers.values()];
  }

  objectsChanged(keys: ReadonlySet<string>): void {
    for (const worker of this.#workers.values()) worker.objectsChanged(keys);
  }

  poke(what: Poke): void {
    for (const worker of this.#workers.values()) worker.poke(what);
  }

  /** The ConfigMaps and Secrets that pods of this node name. */
  references(): ObjectKey[] {
    return this.all().flatMap(({ want }) => podReferences(want.pod));
  }

  /** Lets go of all pods; they live on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.all().map((worker) => worker.stop()));
  }

  #add(want: WantedPod, state: PodState): PodWorker {
    const { store } = this.#deps;
    const worker = new PodWorker(this.#workerDeps, {
      want,
      state,
      folders: podFolders(store.root, want.uid),
      file: store.file(state.record, state.folders !== "none"),
    });
    this.#workers.set(want.uid, worker);
    return worker;
  }

  #hear(event: RuntimeEvent): void {
    const worker = this.#workers.get(event.sandbox);
    if (event.event === "containerExited") worker?.containerExited(event.container);
    else void worker?.sandboxLost();
  }

  /** What no record owns: left by a crash between the last steps of a removal, or of a node that lost its disk. */
  async #removeOrphans(owners: ReadonlySet<string>, sandboxes: readonly SandboxState[], broken: readonly string[]): Promise<void> {
    const { runtime, network, hostFiles, store, log } = this.#deps;
    const attempt = async (what: string, id: string, remove: () => Promise<void>) => {
      log.warn({ what, pod: id }, "removing what no pod owns");
      await remove().catch((error: unknown) => log.error({ what, pod: id, err: error }, "could not remove it"));
    };
    for (const { id } of sandboxes) if (!owners.has(id)) await attempt("sandbox", id, () => runtime.removeSandbox(id));
    for (const { id, address } of await network.listHostPorts()) {
      if (!owners.has(id)) await attempt("host ports", id, () => network.closeHostPorts(id, address));
    }
    for (const uid of broken) {
      const { root } = podFolders(store.root, uid);
      await attempt("folder", uid, async () => {
        await runtime.removeSandbox(uid);
        await hostFiles.unmountBelow(root);
        await hostFiles.removeTree(root);
      });
    }
  }
}

function exitsOf(uid: string, events: readonly RuntimeEvent[]) {
  return events.flatMap((event) => (event.event === "containerExited" && event.sandbox === uid ? [event.container] : []));
}

/** Finds a pod by uid for a stream, or says that it is not here. */
export function requirePod(pods: Pods, uid: string): PodWorker {
  const worker = pods.get(uid);
  if (worker === undefined) throw new TesseraError("NotFound", `pod ${uid} is not on this node`);
  return worker;
}
