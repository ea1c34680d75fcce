import { setTimeout as delay } from "node:timers/promises";
import { isCancellation, type Pod, TesseraError } from "@tessera/proto";
import { LogPosition } from "./log-position.ts";

const FIRST_DELAY_MS = 200;
const LONGEST_DELAY_MS = 5_000;
/** How long a log may be out of reach before it is given up. */
const PATIENCE_MS = 60_000;

export interface FollowedLog {
  readonly timestamps: boolean;
  /** Opens the log, always with times: from the beginning that the user asked for, or from `sinceTime` on. */
  open(from: { readonly sinceTime?: string; readonly previous?: boolean }): Promise<AsyncIterable<Buffer>>;
  /** The pod's newest state. */
  readPod(): Promise<Pod>;
  readonly container: string;
  /** That the log broke off, and that it goes on. */
  say(text: string): Promise<unknown>;
  readonly signal: AbortSignal;
}

/**
 * A followed log that outlives the control plane and the agent: it is asked for again from where it broke off, without losing or doubling
 * anything. Ends when the container's run has ended, as a followed log does; what follows a restart is another log.
 */
export async function* followLog(log: FollowedLog): AsyncGenerator<Buffer> {
  const position = new LogPosition(log.timestamps);
  const run = await runOf(log);
  let brokenSinceMs: number | undefined;
  let delayMs = FIRST_DELAY_MS;
  for (;;) {
    let isOver = false;
    try {
      const isOther = brokenSinceMs !== undefined && (await runOf(log)) !== run;
      const { time } = position;
      position.resume();
      const chunks = await log.open({ ...(time !== undefined && { sinceTime: time }), ...(isOther && { previous: true }) });
      if (brokenSinceMs !== undefined) await log.say("the log goes on\n");
      brokenSinceMs = undefined;
      delayMs = FIRST_DELAY_MS;
      for await (const chunk of chunks) {
        const fresh = position.take(chunk);
        if (fresh.length > 0) yield fresh;
      }
      isOver = true;
    } catch (error) {
      if (log.signal.aborted || !isLoss(error)) throw error;
      if (brokenSinceMs === undefined) await log.say("the connection was lost in the middle of the log; it is asked for again\n");
      brokenSinceMs ??= performance.now();
      if (performance.now() - brokenSinceMs > PATIENCE_MS) throw error;
    }
    if (isOver) return;
    await delay(delayMs, undefined, { signal: log.signal });
    delayMs = Math.min(2 * delayMs, LONGEST_DELAY_MS);
  }
}

/** Tells one start of the container from the next. */
async function runOf({ readPod, container }: FollowedLog): Promise<string | undefined> {
  const { status } = await readPod();
  const all = [
    ...(status?.initContainerStatuses ?? []),
    ...(status?.containerStatuses ?? []),
    ...(status?.ephemeralContainerStatuses ?? []),
  ];
  return all.find(({ name }) => name === container)?.containerID;
}

/** What passes by itself; everything else the server means. */
function isLoss(error: unknown): boolean {
  if (isCancellation(error)) return false;
  if (!(error instanceof TesseraError)) return isBrokenStream(error);
  return error.reason === "ServiceUnavailable" || error.reason === "Timeout";
}

function isBrokenStream(error: unknown): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && /^(ECONN|EPIPE|ERR_STREAM|HPE_)/.test(error.code);
}
