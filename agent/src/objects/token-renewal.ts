import type { CarriedServiceAccountToken } from "@tessera/proto";
import type { Clock } from "../clock.ts";
import { keyOf, type ObjectKey } from "./referenced-objects.ts";

export interface TokenRenewalDependencies {
  readonly clock: Clock;
  /** Between 0 and 1. */
  readonly random: () => number;
  /** Asks the control plane for another token. */
  readonly request: (key: ObjectKey) => void;
}

/** Part of a token's time after which it is replaced, as in Kubernetes; a little earlier for some than for others. */
const usedPart = 0.8;
const jitterPart = 0.05;
/** An answer that did not come is asked for again. */
const askAgainMs = 60_000;

interface Held {
  readonly accountUid: string;
  readonly dueAtMs: number;
  cancel: () => void;
}

/** Sees to it that the tokens of service accounts are replaced before they run out. */
export class TokenRenewal {
  readonly #deps: TokenRenewalDependencies;
  readonly #held = new Map<string, Held>();

  constructor(deps: TokenRenewalDependencies) {
    this.#deps = deps;
  }

  /**
   * A token came. Returns whether it is to be used: one that is held and good for long yet needs no other, though each session brings one.
   */
  received(key: ObjectKey, token: CarriedServiceAccountToken | undefined): boolean {
    const { clock, random } = this.#deps;
    const held = this.#held.get(keyOf(key));
    if (held !== undefined && held.accountUid === token?.accountUid && clock.now() < held.dueAtMs) return false;
    this.forget(key);
    if (token === undefined) return true;
    const dueAtMs = clock.now() + token.lifetimeSeconds * 1000 * (usedPart - random() * jitterPart);
    this.#held.set(keyOf(key), { accountUid: token.accountUid, dueAtMs, cancel: clock.wakeAt(dueAtMs, () => this.#look(key)) });
    return true;
  }

  /** Nobody wants the token any more. */
  forget(key: ObjectKey): void {
    this.#held.get(keyOf(key))?.cancel();
    this.#held.delete(keyOf(key));
  }

  stop(): void {
    for (const { cancel } of this.#held.values()) cancel();
    this.#held.clear();
  }

  #look(key: ObjectKey): void {
    const { clock, request } = this.#deps;
    const held = this.#held.get(keyOf(key));
    if (held === undefined) return;
    // A timer may be cut short.
    const isDue = clock.now() >= held.dueAtMs;
    if (isDue) request(key);
    held.cancel = clock.wakeAt(isDue ? clock.now() + askAgainMs : held.dueAtMs, () => this.#look(key));
  }
}
