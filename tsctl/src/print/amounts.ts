import { quantityMilliValue, quantityValue, TesseraError } from "@tessera/proto";

/** What something uses, as numbers that can be added and compared. */
export interface Amounts {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
}

export type SortKey = "cpu" | "memory" | "name";

export function toAmounts(quantities: Readonly<Record<string, string>> | undefined): Amounts {
  return { cpuMillis: quantityMilliValue(quantities?.["cpu"] ?? "0"), memoryBytes: quantityValue(quantities?.["memory"] ?? "0") };
}

export function addUp(amounts: readonly Amounts[]): Amounts {
  const sum = (part: (one: Amounts) => number) => amounts.reduce((total, one) => total + part(one), 0);
  return { cpuMillis: sum((one) => one.cpuMillis), memoryBytes: sum((one) => one.memoryBytes) };
}

export const formatCpu = ({ cpuMillis }: Amounts): string => `${cpuMillis}m`;
export const formatMemory = ({ memoryBytes }: Amounts): string => `${Math.floor(memoryBytes / 2 ** 20)}Mi`;

/** "25%" */
export function formatShare(part: number, whole: number): string {
  return whole > 0 ? `${Math.floor((100 * part) / whole)}%` : "<unknown>";
}

/** Throws TesseraError "BadRequest" for another word. */
export function parseSortKey(text: string | undefined): SortKey {
  if (text === undefined) return "cpu";
  if (text === "cpu" || text === "memory" || text === "name") return text;
  throw new TesseraError("BadRequest", `--sort-by ${text} is not known here; there are cpu, memory and name`);
}

/** For sorting: the largest first, or by name; equal ones by name. */
export function compareBy(key: SortKey): (one: Amounts & { readonly name: string }, other: Amounts & { readonly name: string }) => number {
  return (one, other) => {
    const size = key === "cpu" ? other.cpuMillis - one.cpuMillis : key === "memory" ? other.memoryBytes - one.memoryBytes : 0;
    return size || one.name.localeCompare(other.name);
  };
}
