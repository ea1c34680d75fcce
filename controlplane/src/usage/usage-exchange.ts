import { randomUUID } from "node:crypto";
import { UsageReport } from "@tessera/proto/node";
import { headers, type Msg, type NatsConnection } from "nats";
import type { Logger } from "pino";
import { toToken } from "../events/event-object.ts";
import type { NatsLink } from "../events/nats-link.ts";
import type { UsageSink } from "./usage.ts";
import type { UsageStore } from "./usage-store.ts";

export interface UsageExchangeDependencies {
  readonly nats: NatsLink;
  readonly store: UsageStore;
  readonly log: Logger;
}

const subjectPrefix = "tessera.usage";
const nodeHeader = "Tessera-Node";
const senderHeader = "Tessera-Sender";

/**
 * Gives every control plane what one of them hears from a node, so that all can say what all nodes use. Nothing is stored and nothing
 * repeated: while NATS is away each knows the nodes that have a session with it, and the others' grow stale.
 */
export class UsageExchange implements UsageSink {
  readonly name = "usage";
  readonly #deps: UsageExchangeDependencies;
  /** Tells our own messages from the others'. */
  readonly #sender = randomUUID();
  #connection: NatsConnection | undefined;

  constructor(dependencies: UsageExchangeDependencies) {
    this.#deps = dependencies;
  }

  report(node: string, report: UsageReport): void {
    const { store, nats, log } = this.#deps;
    store.take(node, report);
    // What is published without a connection would wait for it, and then be old.
    if (this.#connection === undefined || !nats.connected) return;
    const header = headers();
    header.set(nodeHeader, node);
    header.set(senderHeader, this.#sender);
    try {
      this.#connection.publish(`${subjectPrefix}.${toToken(node)}`, UsageReport.encode(report).finish(), { headers: header });
    } catch (error) {
      // Such as a report that is larger than NATS takes.
      log.warn({ err: error, node }, "a usage report is not published");
    }
  }

  /** Listens to the other control planes until aborted, from when NATS is there. */
  async run(signal: AbortSignal, ready?: () => void): Promise<void> {
    // Nobody has to wait for NATS.
    ready?.();
    try {
      this.#connection = await this.#deps.nats.connection(signal);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    const subscription = this.#connection.subscribe(`${subjectPrefix}.*`, {
      callback: (error, message) => {
        if (error === null) this.#hear(message);
        else this.#deps.log.warn({ err: error }, "usage reports of other control planes cannot be heard");
      },
    });
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.#connection = undefined;
    subscription.unsubscribe();
  }

  #hear({ headers: header, data }: Msg): void {
    const node = header?.get(nodeHeader) ?? "";
    if (node === "" || header?.get(senderHeader) === this.#sender) return;
    try {
      this.#deps.store.take(node, UsageReport.decode(data));
    } catch (error) {
      this.#deps.log.warn({ err: error, node }, "a usage report of another control plane cannot be read");
    }
  }
}
