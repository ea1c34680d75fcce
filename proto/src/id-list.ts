/** The kernel counts neither more CPUs nor more memory nodes. */
const HIGHEST = 8191;

/** The numbers of a list as the kernel writes those of CPUs and memory nodes: "0-3,8". undefined when it is none. */
export function parseIdList(text: string): ReadonlySet<number> | undefined {
  const ids = new Set<number>();
  for (const part of text.split(",")) {
    const [, first = "", last = first] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part.trim()) ?? [];
    if (first === "" || Number(first) > Number(last) || Number(last) > HIGHEST) return undefined;
    for (let id = Number(first); id <= Number(last); id++) ids.add(id);
  }
  return ids;
}
