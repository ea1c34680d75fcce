/** Time as the agent's parts see it; tests turn it by hand. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls `wake` once at `atMs` or soon after; the returned function cancels. */
  wakeAt(atMs: number, wake: () => void): () => void;
}

/** Beyond this setTimeout fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  wakeAt(atMs, wake) {
    const timer = setTimeout(wake, Math.min(Math.max(0, atMs - Date.now()), LONGEST_TIMER_MS));
    return () => clearTimeout(timer);
  },
};

/** The API's form of a time, to the second. */
export function toApiTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** A signal that is aborted when `signal` is, or `timeoutMs` later with a TimeoutError. */
export function withDeadline(signal: AbortSignal, timeoutMs: number): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
}
