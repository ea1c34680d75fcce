import { quantityValue, type Volume } from "@tessera/proto";
import type { Clock } from "../clock.ts";
import { retryDelayMs } from "../pod/backoff.ts";
import { folderBytes } from "./folder-bytes.ts";
import type { PreparedVolume } from "./volume.ts";

/** Most of what is too much comes soon after the start. */
const FIRST_CHECK_MS = 1_000;
const LONGEST_CHECK_MS = 10_000;
/** Counting takes at most one part in so many of the time. */
const CHECK_SHARE = 20;

/** An emptyDir on disk that may grow so far and no further. */
export interface LimitedFolder {
  readonly volume: string;
  readonly path: string;
  /** As the pod says it. */
  readonly limit: string;
}

export interface SizeLimitsDependencies {
  readonly clock: Clock;
  /** A volume has outgrown its limit; the message is the one that people know. Told once. */
  readonly onExceeded: (message: string) => void;
  readonly onError: (error: unknown) => void;
}

/** The volumes that are to be looked at: one in memory is held by its file system. */
export function limitedFolders(volumes: readonly Volume[], prepared: ReadonlyMap<string, PreparedVolume>): LimitedFolder[] {
  return volumes.flatMap(({ name = "", emptyDir }) => {
    const { medium, sizeLimit } = emptyDir ?? {};
    const path = prepared.get(name)?.source;
    if (path === undefined || medium || sizeLimit === undefined || quantityValue(sizeLimit) <= 0) return [];
    return [{ volume: name, path, limit: sizeLimit }];
  });
}

/** Looks at a pod's limited volumes now and then, for nothing tells when a folder grows. */
export class SizeLimits {
  readonly #deps: SizeLimitsDependencies;
  #folders: readonly LimitedFolder[] = [];
  #checks = 0;
  #cancelTimer: (() => void) | undefined;
  #checking: AbortController | undefined;

  constructor(deps: SizeLimitsDependencies) {
    this.#deps = deps;
  }

  /** These are the folders from now on; none ends it. */
  follow(folders: readonly LimitedFolder[]): void {
    this.#folders = folders;
    if (folders.length === 0) this.stop();
    else if (this.#cancelTimer === undefined && this.#checking === undefined) this.#checkAfter(0);
  }

  stop(): void {
    this.#folders = [];
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#checking?.abort();
    this.#checking = undefined;
  }

  #checkAfter(tookMs: number): void {
    const { clock } = this.#deps;
    this.#checks += 1;
    const delayMs = Math.max(retryDelayMs(this.#checks, FIRST_CHECK_MS, LONGEST_CHECK_MS), tookMs * CHECK_SHARE);
    this.#cancelTimer = clock.wakeAt(clock.now() + delayMs, () => {
      this.#cancelTimer = undefined;
      void this.#check();
    });
  }

  async #check(): Promise<void> {
    const checking = new AbortController();
    this.#checking = checking;
    const startedAtMs = performance.now();
    try {
      for (const { volume, path, limit } of this.#folders) {
        const limitBytes = quantityValue(limit);
        if ((await folderBytes(path, limitBytes, checking.signal)) <= limitBytes) continue;
        this.stop();
        this.#deps.onExceeded(`Usage of EmptyDir volume "${volume}" exceeds the limit "${limit}".`);
        return;
      }
    } catch (error) {
      if (checking.signal.aborted) return;
      this.#deps.onError(error);
    }
    if (checking.signal.aborted) return;
    this.#checking = undefined;
    this.#checkAfter(performance.now() - startedAtMs);
  }
}
