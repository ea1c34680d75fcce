import type { ApiObject } from "../api/api.ts";
import { formatRow } from "./columns.ts";

/** A server-side Table: rows as the server thinks people want them. */
export interface Table {
  kind?: string;
  metadata?: { resourceVersion?: string; continue?: string };
  columnDefinitions?: { name?: string; priority?: number }[];
  rows?: { cells?: unknown[]; object?: ApiObject }[];
}

export const tableAccept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

export interface TableOptions {
  /** Columns of lower priority as well. */
  readonly wide: boolean;
  readonly showNamespace: boolean;
  readonly showLabels: boolean;
  readonly showHeaders: boolean;
  /** "pod/" before each name, when several types are shown. */
  readonly prefix?: string;
}

/** Prints Tables, one after the other, below one header: further rows of a watch keep the columns' widths while they fit. */
export class TablePrinter {
  readonly #options: TableOptions;
  #columns: { index: number; name: string }[] = [];
  #widths: number[] = [];
  #hasHeader = false;

  constructor(options: TableOptions) {
    this.#options = options;
  }

  format(table: Table): string {
    if (table.columnDefinitions !== undefined && table.columnDefinitions.length > 0) {
      const isShown = (priority: number | undefined) => this.#options.wide || (priority ?? 0) === 0;
      this.#columns = table.columnDefinitions.flatMap(({ name, priority }, index) =>
        isShown(priority) ? [{ index, name: name ?? "" }] : [],
      );
    }
    const rows = (table.rows ?? []).map((row) => this.#toCells(row));
    if (rows.length === 0) return "";
    if (!this.#hasHeader && this.#options.showHeaders) rows.unshift(this.#header());
    this.#hasHeader = true;
    for (const row of rows)
      for (const [index, cell] of row.entries()) this.#widths[index] = Math.max(this.#widths[index] ?? 0, cell.length);
    return rows.map((row) => `${formatRow(row, this.#widths)}\n`).join("");
  }

  #header(): string[] {
    const names = this.#columns.map(({ name }) => name.toUpperCase());
    return [...(this.#options.showNamespace ? ["NAMESPACE"] : []), ...names, ...(this.#options.showLabels ? ["LABELS"] : [])];
  }

  #toCells({ cells = [], object }: NonNullable<Table["rows"]>[number]): string[] {
    const values = this.#columns.map(({ index }) => toCell(cells[index]));
    if (this.#options.prefix !== undefined && values[0] !== undefined) values[0] = `${this.#options.prefix}${values[0]}`;
    const namespace = this.#options.showNamespace ? [object?.metadata?.namespace ?? ""] : [];
    return [...namespace, ...values, ...(this.#options.showLabels ? [formatLabels(object?.metadata?.labels)] : [])];
  }
}

/** One line, whatever the value holds: it may come from a container. */
function toCell(value: unknown): string {
  if (value === null || value === undefined) return "<none>";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these must not reach the terminal
  return text.replace(/[\x00-\x1f\x7f]+/g, " ");
}

export function formatLabels(labels: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(labels ?? {}).sort(([one], [other]) => (one < other ? -1 : 1));
  return pairs.length === 0 ? "<none>" : pairs.map(([key, value]) => `${key}=${value}`).join(",");
}
