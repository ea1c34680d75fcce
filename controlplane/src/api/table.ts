import type { Table, TableColumnDefinition, TableRow } from "@tessera/proto";
import { TesseraError } from "@tessera/proto";
import type { ApiObject } from "../registry/definition.ts";
import type { AnyDefinition } from "../registry/definitions.ts";

/** How much of each object goes with its row. */
export type IncludeObject = "None" | "Metadata" | "Object";

export function parseIncludeObject(text: string | null): IncludeObject {
  if (text === null || text === "" || text === "Metadata") return "Metadata";
  if (text === "None" || text === "Object") return text;
  throw new TesseraError("BadRequest", `unrecognized includeObject value: ${JSON.stringify(text)}; expected None, Metadata or Object`);
}

export interface TableOptions {
  readonly apiVersion: string;
  readonly includeObject: IncludeObject;
  readonly nowMs: number;
  /** Watches say the columns once, in their first event. */
  readonly withColumns: boolean;
}

/** Rows as people read them; the columns are the kind's. */
export function toTable(
  definition: AnyDefinition,
  objects: Iterable<ApiObject>,
  metadata: NonNullable<Table["metadata"]>,
  options: TableOptions,
): Table {
  return {
    kind: "Table",
    apiVersion: options.apiVersion,
    metadata,
    columnDefinitions: options.withColumns ? definition.columns.map(toColumn) : [],
    rows: Array.from(objects, (object) => toRow(definition, object, options)),
  };
}

function toColumn(column: AnyDefinition["columns"][number]): TableColumnDefinition {
  const { name, type, format = "", description, priority = 0 } = column;
  return { name, type, format, description, priority };
}

function toRow(definition: AnyDefinition, object: ApiObject, { includeObject, nowMs }: TableOptions): TableRow {
  const cells = definition.columns.map((column) => column.cell(object, nowMs));
  if (includeObject === "None") return { cells };
  return { cells, object: { ...(includeObject === "Object" ? object : toPartial(object)) } };
}

/** Metadata alone, for clients that need no more. */
export function toPartial(object: ApiObject): ApiObject {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata };
}
