/** The newest `limit` of `items`, and how many older ones that leaves out. */
export function keepNewest<T>(items: T[], limit: number): { kept: T[]; dropped: number } {
  const dropped = Math.max(0, items.length - limit);
  return { kept: dropped === 0 ? items : items.slice(dropped), dropped };
}
