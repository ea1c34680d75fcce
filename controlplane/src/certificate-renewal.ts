import { X509Certificate } from "node:crypto";
import type { Logger } from "pino";
import { renewalTime } from "./auth/certificate-authority.ts";
import type { Certificates } from "./certificates.ts";
import type { Clock } from "./controllers/clock.ts";
import type { ControlLoop } from "./controllers/control-loop.ts";

export interface CertificateRenewalDependencies {
  readonly certificates: Certificates;
  /** Reads all certificates, having made anew those that are due. */
  readonly ensure: () => Promise<Certificates>;
  /** Brings new certificates to those that use them. Called again until it succeeds. */
  readonly apply: (certificates: Certificates) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

const retryMs = 10_000;

/** Renews the control plane's own certificates while it runs. */
export class CertificateRenewal implements ControlLoop {
  readonly name = "certificate-renewal";
  readonly #deps: CertificateRenewalDependencies;

  constructor(deps: CertificateRenewalDependencies) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal, ready?: () => void): Promise<void> {
    const { ensure, apply, clock, log } = this.#deps;
    ready?.();
    let current = this.#deps.certificates;
    let dueMs = earliestRenewal(current);
    while (await this.#wait(dueMs - clock.now(), signal)) {
      // A timer may be cut short.
      if (clock.now() < dueMs) continue;
      try {
        const renewed = await ensure();
        await apply(renewed);
        current = renewed;
        dueMs = earliestRenewal(current);
        log.info({ next: new Date(dueMs).toISOString() }, "certificates renewed");
      } catch (error) {
        dueMs = clock.now() + Math.min(retryMs, Math.max(1000, (earliestEnd(current) - clock.now()) / 10));
        log.error({ err: error }, "certificates could not be renewed, will try again");
      }
    }
  }

  /** False when aborted. */
  #wait(delayMs: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve(false);
      const cancel = this.#deps.clock.after(delayMs, () => {
        signal.removeEventListener("abort", abort);
        resolve(true);
      });
      const abort = (): void => {
        cancel();
        resolve(false);
      };
      signal.addEventListener("abort", abort, { once: true });
    });
  }
}

function earliestRenewal({ own }: Certificates): number {
  return Math.min(...own.map(({ certPem }) => renewalTime(new X509Certificate(certPem))));
}

function earliestEnd({ own }: Certificates): number {
  return Math.min(...own.map(({ certPem }) => Date.parse(new X509Certificate(certPem).validTo)));
}
