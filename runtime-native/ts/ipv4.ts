import { RuntimeError } from "./runtime.ts";

export interface Cidr {
  /** The network's own address, as a number. */
  readonly network: number;
  readonly prefix: number;
}

/** "10.64.3.7" as a number; anything but four decimal numbers without leading zeros is refused. */
export function parseAddress(text: string): number {
  const parts = text.split(".");
  const numbers = parts.map((part) => (/^(?:0|[1-9][0-9]{0,2})$/.test(part) ? Number(part) : 256));
  if (parts.length !== 4 || numbers.some((number) => number > 255))
    throw new RuntimeError("InvalidArgument", `"${text}" is no IPv4 address`, { step: "parse address" });
  return numbers.reduce((sum, number) => sum * 256 + number, 0);
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** "10.64.3.0/24"; bits behind the prefix must be zero. */
export function parseCidr(text: string): Cidr {
  const [address = "", length = "", ...rest] = text.split("/");
  const prefix = /^(?:0|[1-9][0-9]?)$/.test(length) ? Number(length) : 33;
  const network = parseAddress(address);
  if (rest.length > 0 || prefix > 32 || network % 2 ** (32 - prefix) !== 0)
    throw new RuntimeError("InvalidArgument", `"${text}" is no IPv4 network`, { step: "parse address" });
  return { network, prefix };
}

export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr.network)}/${cidr.prefix}`;
}

export function contains(cidr: Cidr, address: number): boolean {
  const size = 2 ** (32 - cidr.prefix);
  return address >= cidr.network && address < cidr.network + size;
}
