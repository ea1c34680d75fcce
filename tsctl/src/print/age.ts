/** How long ago, as short as people need it: "5s", "3m20s", "2h", "4d3h". */
export function formatAge(timestamp: string | undefined, now: number): string {
  const then = timestamp === undefined ? Number.NaN : Date.parse(timestamp);
  return Number.isNaN(then) ? "<unknown>" : formatDuration(now - then);
}

/** Exact where it is short, coarser the longer it is. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return join(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return join(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (days < 8) return join(days, "d", hours % 24, "h");
  return days < 730 ? `${days}d` : join(Math.floor(days / 365), "y", days % 365, "d");
}

function join(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}

const units: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** "90s", "1m30s", "1.5h" or "250ms" in milliseconds; undefined when it is none. A bare number is none, but for 0. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h|d))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/([0-9.]+)(ns|us|ms|s|m|h|d)/g)];
  return parts.reduce((sum, [, amount, unit = ""]) => sum + Number(amount) * (units[unit] ?? 0), 0);
}
