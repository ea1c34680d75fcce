/** How many failures in a row one address may have, and how long each is remembered. */
const burst = 10;
const forgetMs = 6_000;
/** Addresses that are remembered; beyond them the one that was quiet for longest is forgotten. */
const maxAddresses = 10_000;

/** Bounds how often one address may guess. Only failures count, so honest machines behind one address do not disturb each other. */
export class AttemptLimiter {
  readonly #now: () => number;
  /** When the failures of an address are all forgotten: each adds `forgetMs`. In the order of the last attempt. */
  readonly #cleanAtMs = new Map<string, number>();

  /** `now` is in milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Counts an attempt as failed until it is known to be none. Returns how many milliseconds the address has to wait before it may try at all; 0: it may, and
   * `succeeded` takes the failure back.
   */
  begin(address: string): { readonly waitMs: number; readonly succeeded: () => void } {
    const nowMs = this.#now();
    const before = Math.max(this.#cleanAtMs.get(address) ?? 0, nowMs);
    const waitMs = before + forgetMs - (nowMs + burst * forgetMs);
    if (waitMs > 0) return { waitMs, succeeded: () => undefined };
    this.#set(address, before + forgetMs);
    return { waitMs: 0, succeeded: () => this.#set(address, (this.#cleanAtMs.get(address) ?? 0) - forgetMs) };
  }

  #set(address: string, cleanAtMs: number): void {
    this.#cleanAtMs.delete(address);
    if (cleanAtMs <= this.#now()) return;
    this.#cleanAtMs.set(address, cleanAtMs);
    const [oldest] = this.#cleanAtMs.keys();
    if (this.#cleanAtMs.size > maxAddresses && oldest !== undefined) this.#cleanAtMs.delete(oldest);
  }
}
