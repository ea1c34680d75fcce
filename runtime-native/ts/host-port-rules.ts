/** The packet rules that lead from ports of the node to pods: what is written and what is read, as text. */
import { ANY_ADDRESS, type HostPort, type HostPortProtocol, type HostPortsSpec, type PodHostPort } from "./node-network.ts";
import { RuntimeError } from "./runtime.ts";

/** A table of its own: it is there only while a pod has such a port, and the node's other rules may be written anew beside it. */
export const hostPortTable = "tessera-host-ports";

/** As IANA numbers them; a node need not have the file with their names. */
const protocolNumbers: Readonly<Record<HostPortProtocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

export function protocolNumber(protocol: HostPortProtocol): number {
  return protocolNumbers[protocol];
}

/** An element of one of the maps; its comment in the kernel says whose it is. */
export interface HostPortElement extends PodHostPort {
  /** Empty for what nobody of ours made. */
  readonly id: string;
  readonly podAddress: string;
}

/** A pod that may come to itself through the node. */
export interface Hairpin {
  readonly id: string;
  readonly podAddress: string;
}

export interface HostPortState {
  readonly elements: readonly HostPortElement[];
  readonly hairpins: readonly Hairpin[];
}

/**
 * Chains, and the maps that they ask; what the maps hold stays. Who comes from outside, from other pods or from the node keeps its address;
 * only the pod itself (it would drop a packet from its own address) and 127.0.0.1 (it could not answer it) get the bridge's.
 *
 * For 127.0.0.1 the bridge must be allowed to carry such addresses, which opens the node's own loopback services to whoever can send
 * packets there (CVE-2020-8558): the first chain closes that again, before anything is translated. A packet from elsewhere to
 * 127.0.0.0/8 is led nowhere, and the kernel drops it as always.
 */
export function hostPortRules(bridge: string): string {
  return `
    table ip ${hostPortTable} {
      map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
      map address-ports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
      set hairpins { type ipv4_addr . ipv4_addr; }
      chain guard { type filter hook prerouting priority raw; }
      chain to-pod { }
      chain prerouting { type nat hook prerouting priority dstnat; }
      chain output { type nat hook output priority -100; }
      chain postrouting { type nat hook postrouting priority srcnat; }
    }
    flush table ip ${hostPortTable}
    table ip ${hostPortTable} {
      chain guard {
        iifname "${bridge}" ip daddr 127.0.0.0/8 drop
        iifname "${bridge}" ip saddr 127.0.0.0/8 drop
      }
      chain to-pod {
        dnat ip to ip daddr . ip protocol . th dport map @address-ports
        dnat ip to ip protocol . th dport map @ports
      }
      chain prerouting {
        ip daddr != 127.0.0.0/8 fib daddr type local jump to-pod
      }
      chain output {
        fib daddr type local jump to-pod
      }
      chain postrouting {
        oifname "${bridge}" ip saddr . ip daddr @hairpins masquerade
        oifname "${bridge}" ip saddr 127.0.0.0/8 masquerade
      }
    }
  `;
}

/** Commands that bring the pod's elements from what there is to what there should be. */
export function elementChanges(before: HostPortState, spec: HostPortsSpec): string {
  const wanted = spec.ports.map((port) => ({ ...port, id: spec.id, podAddress: spec.address }));
  const isWanted = (element: HostPortElement) => wanted.some((one) => sameElement(one, element));
  const isHairpin = (hairpin: Hairpin) => hairpin.podAddress === spec.address;
  const stale = ownedBy(spec.id, before);
  return [
    ...deletions({
      elements: stale.elements.filter((one) => !isWanted(one)),
      hairpins: stale.hairpins.filter((one) => !isHairpin(one)),
    }),
    ...additions(wanted, spec),
  ].join("\n");
}

/** Commands that take away all that is the pod's. */
export function elementRemoval(before: HostPortState, id: string): string {
  return deletions(ownedBy(id, before)).join("\n");
}

export function ownedBy(id: string, state: HostPortState): HostPortState {
  return { elements: state.elements.filter((one) => one.id === id), hairpins: state.hairpins.filter((one) => one.id === id) };
}

function additions(elements: readonly HostPortElement[], { id, address }: HostPortsSpec): string[] {
  const ports = elements.map((one) => command("add", mapOf(one), `${keyOf(one)} comment "${id}" : ${one.podAddress} . ${one.podPort}`));
  return [...ports, command("add", "hairpins", `${address} . ${address} comment "${id}"`)];
}

function deletions({ elements, hairpins }: HostPortState): string[] {
  return [
    ...elements.map((one) => command("delete", mapOf(one), keyOf(one))),
    ...hairpins.map(({ podAddress }) => command("delete", "hairpins", `${podAddress} . ${podAddress}`)),
  ];
}

function command(verb: "add" | "delete", map: string, element: string): string {
  return `${verb} element ip ${hostPortTable} ${map} { ${element} }`;
}

function mapOf({ address }: HostPort): string {
  return address === ANY_ADDRESS ? "ports" : "address-ports";
}

function keyOf({ protocol, address, port }: HostPort): string {
  const key = `${protocolNumber(protocol)} . ${port}`;
  return address === ANY_ADDRESS ? key : `${address} . ${key}`;
}

function sameElement(a: HostPortElement, b: HostPortElement): boolean {
  return keyOf(a) === keyOf(b) && a.podAddress === b.podAddress && a.podPort === b.podPort;
}

/** Whose element stands in the way of this port. As for sockets, a port at every address is in the way of one at any. */
export function findHolder(port: HostPort, id: string, { elements }: HostPortState): string | undefined {
  return elements.find((one) => one.id !== id && collide(one, port))?.id;
}

export function collide(a: HostPort, b: HostPort): boolean {
  if (a.protocol !== b.protocol || a.port !== b.port) return false;
  return a.address === b.address || a.address === ANY_ADDRESS || b.address === ANY_ADDRESS;
}

/** The elements, pod by pod. */
export function toSpecs({ elements }: HostPortState): HostPortsSpec[] {
  const specs = new Map<string, { id: string; address: string; ports: PodHostPort[] }>();
  for (const { id, podAddress, protocol, address, port, podPort } of elements) {
    const key = `${id} ${podAddress}`;
    const spec = specs.get(key) ?? { id, address: podAddress, ports: [] };
    spec.ports.push({ protocol, address, port, podPort });
    specs.set(key, spec);
  }
  return [...specs.values()];
}

/** Whether "list tables ip", as JSON, has ours. */
export function hasHostPortTable(text: string): boolean {
  return objects(text).some((object) => field(object, "table", "name") === hostPortTable);
}

/** What "list table", as JSON, says of the maps. Throws RuntimeError for what these rules could not have made. */
export function parseHostPortState(text: string): HostPortState {
  const state = { elements: [] as HostPortElement[], hairpins: [] as Hairpin[] };
  for (const object of objects(text)) {
    const map = field(object, "map", "name");
    const elements = field(object, "map", "elem") ?? field(object, "set", "elem");
    if (!Array.isArray(elements)) continue;
    if (map !== undefined) state.elements.push(...elements.map((element: unknown) => parseElement(element, map === "ports")));
    else state.hairpins.push(...elements.map(parseHairpin));
  }
  return state;
}

function parseElement(element: unknown, isAny: boolean): HostPortElement {
  const [key, value] = Array.isArray(element) ? element : [];
  const { parts, id } = parseKey(key);
  const [address, number, port] = isAny ? [ANY_ADDRESS, ...parts] : parts;
  const [podAddress, podPort] = concatOf(value);
  const protocol = Object.entries(protocolNumbers).find(([, one]) => one === number)?.[0];
  if (protocol === undefined || typeof port !== "number" || typeof podPort !== "number") throw strange(element);
  if (typeof address !== "string" || typeof podAddress !== "string") throw strange(element);
  return { id, protocol: protocol as HostPortProtocol, address, port, podAddress, podPort };
}

function parseHairpin(element: unknown): Hairpin {
  const { parts, id } = parseKey(element);
  if (typeof parts[0] !== "string") throw strange(element);
  return { id, podAddress: parts[0] };
}

/** With a comment a key is within an object of its own. */
function parseKey(key: unknown): { parts: readonly unknown[]; id: string } {
  const comment = field(key, "elem", "comment");
  return { parts: concatOf(field(key, "elem", "val") ?? key), id: typeof comment === "string" ? comment : "" };
}

function concatOf(value: unknown): readonly unknown[] {
  const parts = isObject(value) ? value["concat"] : undefined;
  if (!Array.isArray(parts)) throw strange(value);
  return parts;
}

function objects(text: string): readonly unknown[] {
  const { nftables } = JSON.parse(text) as { nftables?: unknown };
  if (!Array.isArray(nftables)) throw strange(text.slice(0, 200));
  return nftables;
}

function field(value: unknown, outer: string, inner: string): unknown {
  const within = isObject(value) ? value[outer] : undefined;
  return isObject(within) ? within[inner] : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function strange(value: unknown): RuntimeError {
  return new RuntimeError("Internal", `table ${hostPortTable} holds what is not Tessera's: ${JSON.stringify(value)}`, {
    step: "read packet rules",
  });
}
