/** Rows in columns as wide as their widest cell, three spaces apart: what people read and `awk` can split. */
export function formatColumns(rows: readonly (readonly string[])[], indent = ""): string {
  const widths: number[] = [];
  for (const row of rows) for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  return rows.map((row) => `${indent}${formatRow(row, widths)}\n`).join("");
}

export function formatRow(row: readonly string[], widths: readonly number[]): string {
  const cells = row.map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd((widths[index] ?? 0) + 3)));
  return cells.join("").trimEnd();
}
