import { isCancellation } from "@tessera/proto";
import type { Logger } from "pino";

/** A long-lived part of a program. */
export interface Part {
  readonly name: string;
  /** Names of parts that must be ready before this one starts, and that stop after it. */
  readonly needs: readonly string[];
  /** Runs until aborted, then ends what is under way and resolves. Rejects only when the part cannot go on at all. */
  run(signal: AbortSignal, ready: () => void): Promise<void>;
}

interface RunningPart {
  readonly part: Part;
  readonly stop: AbortController;
  readonly ready: PromiseWithResolvers<void>;
  readonly ended: PromiseWithResolvers<void>;
}

/**
 * Starts parts as what they need becomes ready, and stops them in the opposite order: when the signal is aborted, or when one of them fails,
 * whose error is thrown at the end.
 */
export async function runParts(parts: readonly Part[], signal: AbortSignal, log: Logger): Promise<void> {
  const running = new Map(parts.map((part): [string, RunningPart] => [part.name, newRunningPart(part)]));
  checkNeeds(parts);
  const failures: unknown[] = [];
  const stop = Promise.withResolvers<void>();
  if (signal.aborted) stop.resolve();
  signal.addEventListener("abort", () => stop.resolve(), { once: true });
  const wholes = [...running.values()].map(async (self) => {
    try {
      await runPart(self, running, log);
    } catch (error) {
      if (!(self.stop.signal.aborted && isCancellation(error))) {
        log.error({ err: error, part: self.part.name }, "part failed");
        failures.push(error);
      }
      stop.resolve();
    } finally {
      self.ended.resolve();
    }
  });
  await Promise.race([stop.promise, Promise.all(wholes)]);
  await stopParts(running);
  await Promise.all(wholes);
  if (failures.length > 0) throw failures[0];
}

function newRunningPart(part: Part): RunningPart {
  const ready = Promise.withResolvers<void>();
  // Nobody may be waiting for it.
  ready.promise.catch(() => {});
  return { part, stop: new AbortController(), ready, ended: Promise.withResolvers() };
}

async function runPart(self: RunningPart, running: ReadonlyMap<string, RunningPart>, log: Logger): Promise<void> {
  const { part, stop } = self;
  const aborted = new Promise<never>((_, reject) =>
    stop.signal.addEventListener("abort", () => reject(stop.signal.reason), { once: true }),
  );
  aborted.catch(() => {});
  await Promise.race([Promise.all(part.needs.map((name) => running.get(name)?.ready.promise)), aborted]);
  stop.signal.throwIfAborted();
  log.debug({ part: part.name }, "part starts");
  await part.run(stop.signal, () => {
    log.info({ part: part.name }, "part is ready");
    self.ready.resolve();
  });
}

/** Each part is told to stop once all that need it have ended. */
async function stopParts(running: ReadonlyMap<string, RunningPart>): Promise<void> {
  await Promise.all(
    [...running.values()].map(async ({ part, stop, ended }) => {
      const dependents = [...running.values()].filter((other) => other.part.needs.includes(part.name));
      await Promise.all(dependents.map((dependent) => dependent.ended.promise));
      stop.abort();
      await ended.promise;
    }),
  );
}

function checkNeeds(parts: readonly Part[]): void {
  const started = new Set<string>();
  for (const { name, needs } of parts) {
    const missing = needs.find((need) => !started.has(need));
    if (missing !== undefined) throw new Error(`part ${name} needs ${missing}, which is not listed before it`);
    started.add(name);
  }
}
