import { closeSync } from "node:fs";
import { constants } from "node:os";
import type { Binding } from "./binding.ts";
import {
  collide,
  elementChanges,
  elementRemoval,
  findHolder,
  type HostPortState,
  hasHostPortTable,
  hostPortRules,
  hostPortTable,
  ownedBy,
  parseHostPortState,
  protocolNumber,
  toSpecs,
} from "./host-port-rules.ts";
import { parseAddress } from "./ipv4.ts";
import { readText } from "./native-text.ts";
import { ANY_ADDRESS, formatHostPort, type HostPort, type HostPortsSpec, HostPortTaken } from "./node-network.ts";
import { RuntimeError } from "./runtime.ts";

export interface HostPortsParts {
  readonly binding: Binding;
  /** The bridge that the pods are on. */
  readonly bridge: string;
}

interface OpenPorts {
  readonly spec: HostPortsSpec;
  /** Sockets that keep the ports from others, by port; none where the kernel does not speak the protocol. */
  readonly sockets: ReadonlyMap<string, number>;
}

const nothing: HostPortState = { elements: [], hairpins: [] };

/**
 * Ports of the node that lead to pods. Which do is in the kernel, as elements of packet rules that name their pod, and stays there without
 * us; that nobody else of the node takes such a port is what our sockets are for, and they end with the process. Calls that change
 * something must come one after the other.
 */
export class HostPorts {
  readonly #binding: Binding;
  readonly #bridge: string;
  readonly #open = new Map<string, OpenPorts>();

  constructor({ binding, bridge }: HostPortsParts) {
    this.#binding = binding;
    this.#bridge = bridge;
  }

  /** See `NodeNetwork.openHostPorts`. */
  async open(spec: HostPortsSpec): Promise<void> {
    parseAddress(spec.address);
    const before = await this.#read();
    // First of all: another pod's ports may be without sockets for a moment, after a restart of the agent.
    for (const port of spec.ports) {
      const holder = findHolder(port, spec.id, before);
      if (holder !== undefined) throw new HostPortTaken(port, holder);
    }
    const held = this.#open.get(spec.id)?.sockets ?? new Map<string, number>();
    const wanted = new Set(spec.ports.map(formatHostPort));
    const added = await this.#hold(spec.ports.filter((port) => !held.has(formatHostPort(port)) && !isCovered(port, spec.ports)));
    try {
      await this.#binding.nftRun(`${hostPortRules(this.#bridge)}\n${elementChanges(before, spec)}`);
    } catch (error) {
      closeAll(added);
      throw error;
    }
    closeAll([...held].filter(([port]) => !wanted.has(port)));
    this.#open.set(spec.id, { spec, sockets: new Map([...held, ...added].filter(([port]) => wanted.has(port))) });
    // Not before the rules, which keep others from using it.
    await this.#binding.routeLoopback(this.#bridge, 1);
    // Whoever sent datagrams here before would go on sending them to the node.
    for (const port of spec.ports) if (port.protocol !== "TCP") await this.#binding.conntrackForgetPort(toNative(port));
  }

  /** See `NodeNetwork.closeHostPorts`. */
  async close(id: string, address: string | undefined): Promise<void> {
    const before = await this.#read();
    const owned = ownedBy(id, before);
    if (owned.elements.length + owned.hairpins.length > 0) await this.#remove(before, id);
    const addresses = new Set([...owned.hairpins.map(({ podAddress }) => podAddress), ...(address === undefined ? [] : [address])]);
    for (const one of addresses) await this.#binding.conntrackForgetPod(one);
    closeAll(this.#open.get(id)?.sockets ?? []);
    this.#open.delete(id);
  }

  async list(): Promise<HostPortsSpec[]> {
    return toSpecs(await this.#read());
  }

  /** After the node's devices and rules were set up, which may have been made anew. */
  async restore(): Promise<void> {
    for (const { spec } of [...this.#open.values()]) await this.open(spec);
  }

  /** Takes everything away, whoever made it. */
  async removeAll(): Promise<void> {
    await this.#dropTable();
    this.letGo();
  }

  /** The ports go on leading to their pods. */
  letGo(): void {
    for (const { sockets } of this.#open.values()) closeAll(sockets);
    this.#open.clear();
  }

  async #remove(before: HostPortState, id: string): Promise<void> {
    const isLast = before.elements.every((one) => one.id === id) && before.hairpins.every((one) => one.id === id);
    if (isLast) await this.#dropTable();
    else await this.#binding.nftRun(elementRemoval(before, id));
  }

  async #dropTable(): Promise<void> {
    // The rules go after what they guard.
    await this.#binding.routeLoopback(this.#bridge, 0);
    await this.#binding.nftRun(`add table ip ${hostPortTable}\ndelete table ip ${hostPortTable}\n`);
  }

  /** One socket for each, or none at all. */
  async #hold(ports: readonly HostPort[]): Promise<Map<string, number>> {
    const sockets = new Map<string, number>();
    try {
      for (const port of ports) {
        const socket: [number] = [-1];
        await this.#binding.hostPortHold(toNative(port), socket).catch((error: unknown) => Promise.reject(explain(error, port)));
        if (socket[0] >= 0) sockets.set(formatHostPort(port), socket[0]);
      }
    } catch (error) {
      closeAll(sockets);
      throw error;
    }
    return sockets;
  }

  async #read(): Promise<HostPortState> {
    if (!hasHostPortTable(await this.#list("list tables ip"))) return nothing;
    return parseHostPortState(await this.#list(`list table ip ${hostPortTable}`));
  }

  #list(command: string): Promise<string> {
    return readText((out) => this.#binding.nftList(command, out, out.length));
  }
}

function toNative({ protocol, address, port }: HostPort): object {
  return { protocol: protocolNumber(protocol), address, port };
}

/** The pod has the port at all addresses too: one socket holds both. */
function isCovered(port: HostPort, all: readonly HostPort[]): boolean {
  return port.address !== ANY_ADDRESS && all.some((one) => one.address === ANY_ADDRESS && collide(one, port));
}

function explain(error: unknown, port: HostPort): unknown {
  if (!(error instanceof RuntimeError)) return error;
  if (error.errno === constants.errno.EADDRINUSE) return new HostPortTaken(port, undefined);
  if (error.errno === constants.errno.EADDRNOTAVAIL)
    return new RuntimeError("InvalidArgument", `${formatHostPort(port)}: the node has no such address`, { step: error.step });
  return error;
}

function closeAll(sockets: Iterable<readonly [string, number]>): void {
  for (const [, socket] of sockets) closeSync(socket);
}
