/** How long ago something was, as kubectl shows it: "5s", "2m10s", "3h", "8d". "<unknown>" when the time is not known. */
export function formatAge(time: string | undefined, nowMs: number): string {
  if (!time) return "<unknown>";
  return formatDuration(nowMs - Date.parse(time));
}

/** Two digits of precision are enough for people: the unit grows with the duration. */
export function formatDuration(durationMs: number): string {
  const seconds = Math.trunc(durationMs / 1000);
  if (Number.isNaN(seconds) || seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return pair(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return pair(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.trunc(hours / 24);
  if (days < 8) return pair(days, "d", hours % 24, "h");
  if (days < 365 * 2) return `${days}d`;
  const years = Math.trunc(days / 365);
  if (years < 8) return pair(years, "y", days % 365, "d");
  return `${years}y`;
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}
