import { X509Certificate } from "node:crypto";
import { type ChannelCredentials, credentials } from "@grpc/grpc-js";
import { TesseraError } from "@tessera/proto";
import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import { type CredentialsFolder, certifiedName, type NodeCredentials } from "./node-credentials.ts";

/** Who renews certificates: the control plane, over the session. */
export interface Certifier {
  /** A certificate (PEM) for a signing request (PEM) of this node. */
  renewCertificate(signingRequest: string): Promise<string>;
  /** Dials anew, with the credentials as they are then. What runs over the old connection goes on there. */
  reconnect(): void;
}

export interface CertificateRenewalDependencies {
  readonly folder: CredentialsFolder;
  readonly current: NodeCredentials;
  readonly clock: Clock;
  /** Between 0 and 1. */
  readonly random: () => number;
  readonly log: Logger;
}

const shortestRetryMs = 1_000;
const longestRetryMs = 3_600_000;

/** Keeps a node's certificate from running out: a new key and certificate after about two thirds of its time. */
export class CertificateRenewal {
  readonly #deps: CertificateRenewalDependencies;
  #current: NodeCredentials;
  #channelCredentials: ChannelCredentials;

  constructor(deps: CertificateRenewalDependencies) {
    this.#deps = deps;
    this.#current = deps.current;
    this.#channelCredentials = toChannelCredentials(deps.current);
  }

  /** For the next connection. */
  get channelCredentials(): ChannelCredentials {
    return this.#channelCredentials;
  }

  /** Runs until the signal is aborted. */
  async run(certifier: Certifier, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    let dueMs = this.#dueMs();
    while (await this.#waitUntil(dueMs, signal)) {
      if (clock.now() < dueMs) continue;
      try {
        await this.#renew(certifier);
        dueMs = this.#dueMs();
        log.info({ next: new Date(dueMs).toISOString() }, "the node's certificate is renewed");
      } catch (error) {
        if (signal.aborted) return;
        const leftMs = Date.parse(new X509Certificate(this.#current.cert).validTo) - clock.now();
        dueMs = clock.now() + Math.min(longestRetryMs, Math.max(shortestRetryMs, leftMs / 10));
        if (leftMs > 0) log.warn({ err: error, leftMs }, "the node's certificate could not be renewed, will try again");
        else
          log.error(
            { err: error },
            'the node\'s certificate has expired: let the node join again, with a token of "tsctl join-token create --node"',
          );
      }
    }
  }

  async #renew(certifier: Certifier): Promise<void> {
    const { folder } = this.#deps;
    const { newKey, signingRequest } = await import("./signing-request.ts");
    const nodeName = certifiedName(this.#current.cert) ?? "";
    const key = await folder.stagedKey(newKey);
    const cert = await certifier.renewCertificate(await signingRequest(nodeName, key));
    if (!new X509Certificate(cert).verify(new X509Certificate(this.#current.ca).publicKey) || certifiedName(cert) !== nodeName) {
      throw new TesseraError("InternalError", "the control plane answered with a certificate that is not this node's");
    }
    await folder.renew(cert);
    this.#current = { ...this.#current, cert, key };
    this.#channelCredentials = toChannelCredentials(this.#current);
    certifier.reconnect();
  }

  /** Each node at a time of its own, so that those that joined together do not come together. */
  #dueMs(): number {
    const { validFrom, validTo } = new X509Certificate(this.#current.cert);
    const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
    return from + (to - from) * (2 / 3 - this.#deps.random() / 10);
  }

  /** False when aborted; may be true too early. */
  #waitUntil(atMs: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve(false);
      const abort = () => {
        cancel();
        resolve(false);
      };
      const cancel = this.#deps.clock.wakeAt(atMs, () => {
        signal.removeEventListener("abort", abort);
        resolve(true);
      });
      signal.addEventListener("abort", abort, { once: true });
    });
  }
}

function toChannelCredentials({ ca, cert, key }: NodeCredentials): ChannelCredentials {
  return credentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(cert));
}
