/** Time as the control loops see it, so that tests can hold it still. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Runs `wake` once, `delayMs` from now. Returns the cancel. Never keeps the process alive. */
  after(delayMs: number, wake: () => void): () => void;
}

/** setTimeout fires at once for delays beyond 2^31 ms; longer waits are cut to this and whoever waits looks again. */
const MAX_TIMER_MS = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  after(delayMs, wake) {
    const timer = setTimeout(wake, Math.min(Math.max(delayMs, 0), MAX_TIMER_MS));
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** The form of metav1.Time: whole seconds. */
export function toTime(nowMs: number): string {
  return `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
}

/** The form of metav1.MicroTime. */
export function toMicroTime(nowMs: number): string {
  return `${new Date(nowMs).toISOString().slice(0, 23)}000Z`;
}
