import { TesseraError } from "@tessera/proto";

/** A range of IPv4 addresses as numbers. */
export interface Ipv4Range {
  readonly text: string;
  /** The network's own address. */
  readonly base: number;
  /** How many addresses it has, the network's and the broadcast address included. */
  readonly size: number;
}

/** Reads "10.64.3.0/24". Throws TesseraError "Invalid". */
export function parseCidr(text: string): Ipv4Range {
  const [address = "", bitsText = ""] = text.split("/");
  const bits = Number(bitsText);
  const number = parseIpv4(address);
  if (number === undefined || !/^\d+$/.test(bitsText) || bits < 1 || bits > 30) {
    throw new TesseraError("Invalid", `"${text}" is not an IPv4 range such as 10.64.3.0/24`);
  }
  const size = 2 ** (32 - bits);
  return { text, base: number - (number % size), size };
}

export function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255)) return undefined;
  return parts.reduce((total, part) => total * 256 + Number(part), 0);
}

export function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}
