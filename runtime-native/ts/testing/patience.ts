/** How long tests wait and how often they try. What they wait for comes by itself, and at once on a machine that is not emulated. */
import assert from "node:assert/strict";

/** The end of waiting for anything at all: long enough for an emulated machine; only who fails waits so long. */
export const patienceMs = 60_000;

/** Waits for a condition, which is looked at again and again; for what tells nobody. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = patienceMs): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `${what} within ${timeoutMs} ms`);
    await new Promise((next) => setTimeout(next, 2));
  }
}

/**
 * How often a race is run. On an emulated machine, where each round takes twenty times as long and the same code is raced outside as well, a fifth of it:
 * there it shows that both sides work.
 */
export function rounds(count: number): number {
  return process.env["TESSERA_EMULATED"] === undefined ? count : Math.ceil(count / 5);
}
