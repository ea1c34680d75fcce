import type { Barrier } from "../plugin.ts";

export function isClosed({ domains, closed, closedElsewhere }: Barrier, row: number): boolean {
  const domain = domains[row] ?? -1;
  return domain < 0 ? closedElsewhere : closed[domain] === 1;
}

/** Keeps the first `count` candidates that no barrier closes off, in order, at the front; returns how many. */
export function narrowByBarriers(barriers: readonly Barrier[], candidates: Int32Array, count: number): number {
  let left = count;
  for (const { domains, closed, closedElsewhere } of barriers) {
    let kept = 0;
    for (let i = 0; i < left; i++) {
      const row = candidates[i] ?? 0;
      const domain = domains[row] ?? -1;
      if (domain < 0 ? !closedElsewhere : closed[domain] === 0) candidates[kept++] = row;
    }
    left = kept;
  }
  return left;
}
