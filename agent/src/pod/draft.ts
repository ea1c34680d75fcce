import type { ObservedPod } from "./observed.ts";
import { type PodStep, stepKey, stepSubject } from "./step.ts";

export interface Plan {
  readonly steps: readonly PodStep[];
  /** When to look again though nothing happened. */
  readonly wakeAtMs: number | undefined;
  /** Nothing of the pod is left and nothing is wanted: the worker can end. */
  readonly gone: boolean;
}

/** Collects steps, leaving out what failed a moment ago and what is under way. */
export class Draft {
  readonly have: ObservedPod;
  readonly nowMs: number;
  readonly #steps: PodStep[] = [];
  #wakeAtMs: number | undefined;
  #gone = false;

  constructor(have: ObservedPod, nowMs: number) {
    this.have = have;
    this.nowMs = nowMs;
  }

  get isEmpty(): boolean {
    return this.#steps.length === 0;
  }

  add(step: PodStep): void {
    if (this.have.busy.has(stepSubject(step))) return;
    const failure = this.have.failures.get(stepKey(step));
    if (failure !== undefined && this.nowMs < failure.retryAtMs) this.wakeAt(failure.retryAtMs);
    else this.#steps.push(step);
  }

  wakeAt(atMs: number): void {
    this.#wakeAtMs = Math.min(this.#wakeAtMs ?? Number.POSITIVE_INFINITY, atMs);
  }

  finish(): void {
    this.#gone = true;
  }

  plan(): Plan {
    return { steps: this.#steps, wakeAtMs: this.#wakeAtMs, gone: this.#gone };
  }
}

/** The plan on one line, for the log. */
export function describePlan(plan: Plan): string {
  return plan.steps.map((step) => `${stepKey(step)} (${step.because})`).join("; ");
}
