import { formatColumns } from "../print/columns.ts";

/** One line of a description: a name and its value, a table, or a section of further lines. */
export type Line =
  | { readonly name: string; readonly value: string | readonly string[] }
  | { readonly name: string; readonly section: readonly Line[] }
  | { readonly name: string; readonly table: readonly (readonly string[])[] }
  | { readonly text: string };

/** A value, or several below each other. */
export function line(name: string, value: string | readonly string[] | undefined): Line {
  return { name, value: value === undefined || value === "" || value.length === 0 ? "<none>" : value };
}

/** The same, left out when there is no value. */
export function maybeLine(name: string, value: string | readonly string[] | undefined): Line[] {
  return value === undefined || value === "" || value.length === 0 ? [] : [line(name, value)];
}

export function section(name: string, lines: readonly Line[]): Line {
  return { name, section: lines };
}

/** Values of one level begin in the same column; sections are indented by two. */
export function formatLines(lines: readonly Line[], indent = ""): string {
  const names = lines.flatMap((each) => ("value" in each ? [each.name.length] : []));
  const width = Math.max(0, ...names) + 3;
  return lines.map((each) => formatLine(each, indent, width)).join("");
}

function formatLine(each: Line, indent: string, width: number): string {
  if ("text" in each) return `${indent}${each.text}\n`;
  if ("section" in each) {
    if (each.section.length === 0) return `${indent}${`${each.name}:`.padEnd(width)}<none>\n`;
    return `${indent}${each.name}:\n${formatLines(each.section, `${indent}  `)}`;
  }
  if ("table" in each) {
    if (each.table.length === 0) return `${indent}${`${each.name}:`.padEnd(width)}<none>\n`;
    return `${indent}${each.name}:\n${formatColumns(each.table, `${indent}  `)}`;
  }
  const [first = "", ...rest] = typeof each.value === "string" ? each.value.split("\n") : each.value;
  const further = rest.map((value) => `${indent}${" ".repeat(width)}${value}\n`).join("");
  return `${indent}${`${each.name}:`.padEnd(width)}${first}\n${further}`;
}
