/** A block of IPv4 addresses: `base` has zeroes after the first `bits` bits. */
export interface Ipv4Block {
  readonly base: number;
  readonly bits: number;
}

/** Parses "10.1.2.0/24" or "10.1.2.3" (a block of one). Undefined when it is neither. */
export function parseBlock(text: string): Ipv4Block | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\/(\d{1,2}))?$/.exec(text);
  if (match === null) return undefined;
  const octets = match.slice(1, 5).map(Number);
  const bits = match[5] === undefined ? 32 : Number(match[5]);
  if (bits > 32 || octets.some((octet) => octet > 255)) return undefined;
  const address = octets.reduce((sum, octet) => sum * 256 + octet, 0);
  const size = 2 ** (32 - bits);
  return { base: Math.floor(address / size) * size, bits };
}

export function overlaps(a: Ipv4Block, b: Ipv4Block): boolean {
  const size = 2 ** (32 - Math.min(a.bits, b.bits));
  return Math.floor(a.base / size) === Math.floor(b.base / size);
}

export function formatBlock(block: Ipv4Block): string {
  return `${formatAddress(block.base)}/${block.bits}`;
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}

/** The n-th address of a block. */
export function addressAt(block: Ipv4Block, n: number): string {
  return formatAddress(block.base + n);
}
