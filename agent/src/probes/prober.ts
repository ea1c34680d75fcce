import type { Container } from "@tessera/proto";
import type { Clock } from "../clock.ts";
import type { ProbeResult } from "./probe-result.ts";
import {
  count,
  firstProbeAtMs,
  firstTallies,
  isDue,
  isWorthTelling,
  nextProbeAtMs,
  type ProbeKind,
  type ProbeSettings,
  type ProbeVerdict,
  probesOf,
  type Tallies,
  verdictOf,
} from "./schedule.ts";

/** A running attempt of a container. */
export interface ProbedContainer {
  readonly name: string;
  readonly attempt: number;
  readonly startedAtMs: number;
  readonly spec: Container;
  /** What is thought of it when probing begins. */
  readonly verdict: ProbeVerdict;
  /** It is being stopped: only whether it is ready is still of interest. */
  readonly isStopping: boolean;
}

export interface ProberDependencies {
  readonly clock: Clock;
  /** Looks once. Never throws; ends when the signal is aborted. */
  readonly probe: (container: string, settings: ProbeSettings, signal: AbortSignal) => Promise<ProbeResult>;
  readonly onVerdict: (container: string, attempt: number, verdict: ProbeVerdict) => void;
  /** A probe failed, and that is news. */
  readonly onFailure: (container: string, kind: ProbeKind, result: ProbeResult) => void;
}

/** Probes the containers of one pod. Owns the timers: one per probe, none for containers without probes. */
export class Prober {
  readonly #deps: ProberDependencies;
  readonly #probed = new Map<string, ContainerProbes>();

  constructor(deps: ProberDependencies) {
    this.#deps = deps;
  }

  /** These containers and no others are to be probed from now on. Costs next to nothing when nothing changed. */
  follow(containers: readonly ProbedContainer[]): void {
    for (const [name, probes] of this.#probed) {
      if (!containers.some((container) => container.name === name && container.attempt === probes.attempt)) this.#drop(name);
    }
    for (const container of containers) {
      let probes = this.#probed.get(container.name);
      if (probes === undefined) {
        const settings = probesOf(container.spec);
        if (settings.length === 0) continue;
        probes = new ContainerProbes(this.#deps, container, settings);
        this.#probed.set(container.name, probes);
      }
      probes.follow(container.isStopping);
    }
  }

  /** Ends all probing. */
  stop(): void {
    for (const name of [...this.#probed.keys()]) this.#drop(name);
  }

  #drop(name: string): void {
    this.#probed.get(name)?.stop();
    this.#probed.delete(name);
  }
}

/** The probes of one attempt of a container. */
class ContainerProbes {
  readonly attempt: number;
  readonly #deps: ProberDependencies;
  readonly #container: ProbedContainer;
  readonly #probes: readonly ProbeSettings[];
  /** Probes that have a timer or are under way, and how to end them. */
  readonly #running = new Map<ProbeKind, () => void>();
  readonly #lastMessages = new Map<ProbeKind, string>();
  #tallies: Tallies;
  #isStopping = false;

  constructor(deps: ProberDependencies, container: ProbedContainer, probes: readonly ProbeSettings[]) {
    this.attempt = container.attempt;
    this.#deps = deps;
    this.#container = container;
    this.#probes = probes;
    this.#tallies = firstTallies(probes, container.verdict);
  }

  follow(isStopping: boolean): void {
    this.#isStopping = isStopping;
    for (const settings of this.#probes) {
      const { kind } = settings;
      if (!this.#isDue(kind)) this.#end(kind);
      else if (!this.#running.has(kind)) {
        this.#schedule(settings, firstProbeAtMs(settings, this.#container.startedAtMs, this.#deps.clock.now()));
      }
    }
  }

  stop(): void {
    for (const { kind } of this.#probes) this.#end(kind);
  }

  #isDue(kind: ProbeKind): boolean {
    return isDue(kind, this.#tallies) && !(this.#isStopping && kind !== "readiness");
  }

  #end(kind: ProbeKind): void {
    this.#running.get(kind)?.();
    this.#running.delete(kind);
  }

  #schedule(settings: ProbeSettings, atMs: number): void {
    this.#running.set(
      settings.kind,
      this.#deps.clock.wakeAt(atMs, () => void this.#probe(settings)),
    );
  }

  async #probe(settings: ProbeSettings): Promise<void> {
    const { clock, probe } = this.#deps;
    const { kind } = settings;
    const beganAtMs = clock.now();
    const ending = new AbortController();
    this.#running.set(kind, () => ending.abort());
    const result = await probe(this.#container.name, settings, ending.signal);
    // Ended meanwhile, and perhaps begun again: what it found out is of no interest.
    if (ending.signal.aborted) return;
    this.#take(settings, result);
    if (this.#isDue(kind)) this.#schedule(settings, nextProbeAtMs(settings, beganAtMs, clock.now()));
    else this.#running.delete(kind);
  }

  #take(settings: ProbeSettings, result: ProbeResult): void {
    const { kind } = settings;
    const before = this.#tallies[kind];
    if (before === undefined) return;
    const tally = count(before, result.outcome, settings);
    this.#tallies = { ...this.#tallies, [kind]: tally };
    this.#tell(settings, result, tally.streak);
    if (tally.verdict === before.verdict) return;
    this.#deps.onVerdict(this.#container.name, this.attempt, verdictOf(this.#probes, this.#tallies));
    this.follow(this.#isStopping);
  }

  #tell(settings: ProbeSettings, result: ProbeResult, streak: number): void {
    const { kind } = settings;
    const isNew = this.#lastMessages.get(kind) !== result.message;
    if (result.outcome === "success") this.#lastMessages.delete(kind);
    else this.#lastMessages.set(kind, result.message);
    const isNews = result.outcome === "failure" ? isWorthTelling(streak, settings, isNew) : result.outcome === "unknown" && isNew;
    if (isNews) this.#deps.onFailure(this.#container.name, kind, result);
  }
}
