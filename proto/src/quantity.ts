import { TesseraError } from "./error.ts";

/**
 * Kubernetes quantities: "250m", "64Mi", "1e3", "0.5". All arithmetic is exact, in billionths (the smallest unit, "1n"), as BigInt;
 * only quantityValue and quantityMilliValue return numbers, for which amounts of a cluster are small enough.
 */

/** How a quantity is written: with Ki, Mi, ...; with m, k, M, ...; or with e3, e6, ... */
export type QuantityFormat = "BinarySI" | "DecimalSI" | "DecimalExponent";

const nano = 1_000_000_000n;
/** Kubernetes keeps amounts in 63 bits; larger ones count as this. */
const maxNano = (2n ** 63n - 1n) * nano;

const binarySuffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] as const;
/** The power of ten of each decimal suffix. */
const decimalSuffixes: ReadonlyMap<string, number> = new Map([
  ["n", -9],
  ["u", -6],
  ["m", -3],
  ["", 0],
  ["k", 3],
  ["M", 6],
  ["G", 9],
  ["T", 12],
  ["P", 15],
  ["E", 18],
]);

const pattern = /^([+-]?)(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/;
/** Longer text is no quantity that anybody means, and would only cost time. */
const maxLength = 64;

interface Parsed {
  readonly nanos: bigint;
  readonly format: QuantityFormat;
}

/** Whether the text is a quantity. */
export function isQuantity(text: unknown): text is string {
  return typeof text === "string" && parse(text) !== undefined;
}

/** The amount in base units (bytes, cores), rounded up to a whole number. Throws TesseraError "Invalid" for text that is no quantity. */
export function quantityValue(text: string): number {
  return Number(divideUp(demand(text).nanos, nano));
}

/** The amount in thousandths (millicores), rounded up to a whole number. Throws TesseraError "Invalid" for text that is no quantity. */
export function quantityMilliValue(text: string): number {
  return Number(divideUp(demand(text).nanos, nano / 1000n));
}

/** Negative, 0 or positive as the first amount is less than, equal to or more than the second. */
export function compareQuantities(left: string, right: string): number {
  const difference = demand(left).nanos - demand(right).nanos;
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** Writes a whole amount of base units in the shortest canonical form: 2048 is "2Ki" in BinarySI, 2000 is "2k" in DecimalSI. */
export function formatQuantity(value: number | bigint, format: QuantityFormat): string {
  return write({ nanos: BigInt(value) * nano, format });
}

/** The canonical form of a quantity, as Kubernetes stores it: "0.5" is "500m", "1024Mi" is "1Gi". Undefined for text that is no quantity. */
export function canonicalQuantity(text: string): string | undefined {
  const parsed = parse(text);
  return parsed && write(parsed);
}

function demand(text: string): Parsed {
  const parsed = parse(text);
  if (parsed === undefined) {
    throw new TesseraError("Invalid", `${JSON.stringify(text)} is not a quantity such as "500m", "2" or "64Mi"`);
  }
  return parsed;
}

function parse(text: string): Parsed | undefined {
  const match = text.length <= maxLength ? pattern.exec(text) : null;
  if (match === null) {
    return undefined;
  }
  const [, sign, digits = "", suffix = ""] = match;
  const point = digits.indexOf(".");
  const fraction = point < 0 ? 0 : digits.length - point - 1;
  const mantissa = BigInt(digits.replace(".", ""));
  const scale = scaleOf(suffix);
  const nanos = mantissa === 0n ? 0n : clamp(timesPowerOfTen(mantissa * scale.factor, scale.exponent + 9 - fraction));
  return { nanos: sign === "-" ? -nanos : nanos, format: scale.format };
}

function scaleOf(suffix: string): { factor: bigint; exponent: number; format: QuantityFormat } {
  if (suffix.endsWith("i")) {
    const power = (binarySuffixes as readonly string[]).indexOf(suffix);
    return { factor: 1024n ** BigInt(power), exponent: 0, format: "BinarySI" };
  }
  const exponent = decimalSuffixes.get(suffix);
  if (exponent !== undefined) {
    return { factor: 1n, exponent, format: "DecimalSI" };
  }
  // Beyond these bounds the amount is the maximum or rounds to the smallest unit anyway.
  const written = Number(suffix.slice(1));
  return { factor: 1n, exponent: Math.max(-100, Math.min(100, written)), format: "DecimalExponent" };
}

function timesPowerOfTen(value: bigint, exponent: number): bigint {
  return exponent >= 0 ? value * 10n ** BigInt(exponent) : divideUp(value, 10n ** BigInt(-exponent));
}

function clamp(nanos: bigint): bigint {
  return nanos > maxNano ? maxNano : nanos;
}

/** Rounds away from zero, as Kubernetes does: half a byte needs a byte. */
function divideUp(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by === 0n ? quotient : quotient + (value < 0n ? -1n : 1n);
}

function write({ nanos, format }: Parsed): string {
  if (nanos === 0n) {
    return "0";
  }
  // Small amounts may have fractions, which only the decimal suffixes can say.
  const small = nanos > -1024n * nano && nanos < 1024n * nano;
  return format === "BinarySI" && !small ? writeBinary(divideUp(nanos, nano)) : writeDecimal(nanos, format);
}

function writeBinary(value: bigint): string {
  let rest = value;
  let power = 0;
  while (rest % 1024n === 0n && power < binarySuffixes.length - 1) {
    rest /= 1024n;
    power++;
  }
  return `${rest}${binarySuffixes[power]}`;
}

function writeDecimal(nanos: bigint, format: QuantityFormat): string {
  let rest = nanos;
  let exponent = -9;
  while (rest % 1000n === 0n && exponent < 18) {
    rest /= 1000n;
    exponent += 3;
  }
  if (format === "DecimalExponent") {
    return exponent === 0 ? `${rest}` : `${rest}e${exponent}`;
  }
  const suffix = [...decimalSuffixes].find(([, power]) => power === exponent)?.[0] ?? "";
  return `${rest}${suffix}`;
}
