import { type Pod, type PodStatus, type StatusReason, TesseraError } from "@tessera/proto";
import type { Logger } from "pino";
import type { Clock } from "../controllers/clock.ts";
import { Limiter } from "../controllers/limiter.ts";
import type { Registry } from "../registry/resource.ts";
import { withReportedStatus } from "./pod-status.ts";

const WRITES_AT_ONCE = 512;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5_000;
const CATCH_UP_MS = 3_000;

/** Errors that trying again does not mend. */
const FINAL: ReadonlySet<StatusReason> = new Set(["NotFound", "Gone", "Invalid", "Forbidden", "BadRequest"]);

export interface ReportedPod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

/** The newest that an agent said of one pod and that is not written yet. */
interface Slot {
  readonly pod: ReportedPod;
  readonly node: string;
  status: PodStatus | undefined;
  gone: boolean;
}

export interface PodReportsDependencies {
  readonly pods: Registry["pods"];
  readonly log: Logger;
  readonly clock: Clock;
}

/**
 * Writes what agents say of their pods: per pod one write at a time, and of several reports that wait only the newest. Bounded by the number of pods,
 * for callers pass on reports only about pods that are bound to the node. It outlives sessions: what was said is written also when the agent has gone.
 */
export class PodReports {
  readonly #deps: PodReportsDependencies;
  readonly #slots = new Map<string, Slot>();
  readonly #writes = new Limiter(WRITES_AT_ONCE);
  readonly #stop = new AbortController();
  constructor(deps: PodReportsDependencies) {
    this.#deps = deps;
  }

  /** The agent of `node` reports a status. */
  status(node: string, pod: ReportedPod, status: PodStatus): void {
    this.#put(node, pod, (slot) => {
      slot.status = status;
    });
  }

  /** Nothing of the pod is left on the node. */
  gone(node: string, pod: ReportedPod): void {
    this.#put(node, pod, (slot) => {
      slot.gone = true;
    });
  }

  /** Stops trying again and resolves when no write is under way. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#writes.drain();
  }

  #put(node: string, pod: ReportedPod, fill: (slot: Slot) => void): void {
    const known = this.#slots.get(pod.uid);
    const slot: Slot = known ?? { pod, node, status: undefined, gone: false };
    fill(slot);
    if (known) return;
    this.#slots.set(pod.uid, slot);
    this.#writes.run(() => this.#work(slot));
  }

  async #work(slot: Slot): Promise<void> {
    for (let failures = 0; (slot.status || slot.gone) && !this.#stop.signal.aborted; ) {
      // The last status is written before the object goes, for those who watch.
      const { status } = slot;
      slot.status = undefined;
      try {
        if (status) await this.#writeStatus(slot, status);
        else await this.#remove(slot);
      } catch (error) {
        if (!(error instanceof TesseraError && FINAL.has(error.reason))) {
          slot.status ??= status;
          await this.#pause(slot, error, failures++);
          continue;
        }
        this.#giveUp(slot, error);
      }
      failures = 0;
      if (!status) slot.gone = false;
    }
    this.#slots.delete(slot.pod.uid);
  }

  async #writeStatus({ pod, node }: Slot, status: PodStatus): Promise<void> {
    const { pods } = this.#deps;
    const cached = pods.cache.get(pod.namespace, pod.name);
    // The cache has caught up with our own last write of this pod (below), so what it holds can be trusted to tell that nothing is new.
    if (cached?.uid === pod.uid && cached.value.spec?.nodeName === node && withReportedStatus(cached.value, status) === cached.value)
      return;
    const written = await pods.mutate(
      pod.namespace,
      pod.name,
      (current) => {
        checkOwner(current, node);
        const next = withReportedStatus(current, status);
        return next === current ? undefined : next;
      },
      { uid: pod.uid },
    );
    const revision = Number(written.metadata?.resourceVersion);
    if (revision > 0) await pods.cache.waitFor(revision, { timeoutMs: CATCH_UP_MS, signal: this.#stop.signal }).catch(() => {});
  }

  async #remove({ pod, node }: Slot): Promise<void> {
    const cached = this.#deps.pods.cache.get(pod.namespace, pod.name);
    // The report is about a pod that the cache has held, so it went meanwhile; maybe another one has its name.
    if (cached?.uid !== pod.uid) return;
    checkOwner(cached.value, node);
    if (!cached.value.metadata?.deletionTimestamp) {
      throw new TesseraError("Forbidden", `node "${node}" says that pod "${pod.namespace}/${pod.name}" is gone, but nobody has deleted it`);
    }
    await this.#deps.pods.remove(pod.namespace, pod.name, { uid: pod.uid, graceSeconds: 0 });
  }

  #giveUp(slot: Slot, error: TesseraError): void {
    // NotFound: the pod went meanwhile.
    const level = error.reason === "NotFound" || error.reason === "Gone" ? "debug" : "warn";
    this.#deps.log[level]({ err: error, ...slot.pod, node: slot.node }, "a pod report is dropped");
  }

  #pause(slot: Slot, error: unknown, failures: number): Promise<void> {
    const delayMs = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(failures, 10));
    this.#deps.log.warn({ err: error, ...slot.pod, node: slot.node, delayMs }, "a pod report is not written yet");
    const { signal } = this.#stop;
    return new Promise((resolve) => {
      const wake = (): void => {
        cancel();
        signal.removeEventListener("abort", wake);
        resolve();
      };
      const cancel = this.#deps.clock.after(delayMs, wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }
}

function checkOwner(pod: Pod, node: string): void {
  if (pod.spec?.nodeName === node) return;
  throw new TesseraError(
    "Forbidden",
    `node "${node}" reports on pod "${pod.metadata?.namespace}/${pod.metadata?.name}", which is not bound to it`,
  );
}
