/** One measured figure; printed as one JSON line. */
export interface Figure {
  readonly figure: string;
  readonly unit: string;
  readonly n: number;
  readonly min: number;
  readonly median: number;
  readonly p99: number;
  readonly max: number;
  /** The same measured of a baseline in the same run, and the ratio of the medians. */
  readonly baseline?: { readonly name: string; readonly median: number; readonly ratio: number };
}

/** Sums up samples; throws when there are none. */
export function summarize(
  figure: string,
  unit: string,
  samples: readonly number[],
  baseline?: { name: string; samples: readonly number[] },
): Figure {
  const sorted = [...samples].sort((a, b) => a - b);
  const baselineMedian =
    baseline &&
    quantile(
      [...baseline.samples].sort((a, b) => a - b),
      0.5,
    );
  const median = quantile(sorted, 0.5);
  return {
    figure,
    unit,
    n: sorted.length,
    min: quantile(sorted, 0),
    median,
    p99: quantile(sorted, 0.99),
    max: quantile(sorted, 1),
    ...(baseline &&
      baselineMedian !== undefined && { baseline: { name: baseline.name, median: baselineMedian, ratio: round(median / baselineMedian) } }),
  };
}

/** The nearest-rank quantile of sorted samples. */
export function quantile(sorted: readonly number[], q: number): number {
  const value = sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))];
  if (value === undefined) throw new Error("no samples");
  return round(value);
}

/** Of samples in any order. */
export function median(samples: readonly number[]): number {
  return quantile(
    [...samples].sort((a, b) => a - b),
    0.5,
  );
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
