import { TesseraError } from "@tessera/proto";
import { stringify } from "yaml";
import type { ApiObject } from "../api/api.ts";
import { parseJsonPath } from "./jsonpath.ts";

/** How objects are shown: `-o`. */
export type Format =
  | { readonly as: "table"; readonly wide: boolean }
  | { readonly as: "json" }
  | { readonly as: "yaml" }
  | { readonly as: "name" }
  | { readonly as: "jsonpath"; readonly render: (value: unknown) => string };

const known = "wide, json, yaml, name and jsonpath=TEMPLATE";

export function parseFormat(value: string | undefined): Format {
  switch (value) {
    case undefined:
    case "":
      return { as: "table", wide: false };
    case "wide":
      return { as: "table", wide: true };
    case "json":
    case "yaml":
    case "name":
      return { as: value };
  }
  const template = /^jsonpath=(.*)$/s.exec(value)?.[1];
  if (template !== undefined) return { as: "jsonpath", render: parseJsonPath(template).render };
  throw new TesseraError("BadRequest", `-o "${value}" is no output format; there are ${known}`);
}

/** An object, or a list of them, in a format other than the table. */
export function formatValue(value: unknown, format: Exclude<Format, { as: "table" }>): string {
  switch (format.as) {
    case "json":
      return `${JSON.stringify(value, null, 4)}\n`;
    case "yaml":
      return toYaml(value);
    case "jsonpath":
      return format.render(value);
    case "name":
      return objectsOf(value)
        .map((object) => `${nameOf(object)}\n`)
        .join("");
  }
}

export function toYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false, version: "1.1", sortMapEntries: false });
}

function objectsOf(value: unknown): ApiObject[] {
  const object = value as ApiObject & { items?: ApiObject[] };
  return Array.isArray(object.items) ? object.items : [object];
}

/** "pod/web", "lease.coordination.k8s.io/a" */
export function nameOf(object: ApiObject): string {
  const group = object.apiVersion?.includes("/") ? `.${object.apiVersion.split("/")[0]}` : "";
  return `${(object.kind ?? "").toLowerCase()}${group}/${object.metadata?.name ?? ""}`;
}
