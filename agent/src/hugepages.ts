import { readdir, readFile } from "node:fs/promises";
import type { HugepagePool } from "./node-facts.ts";

const folder = "/sys/kernel/mm/hugepages";

/** The resource that counts pages of this size: "hugepages-2Mi". */
export function hugepagesName(pageBytes: number): string {
  return `hugepages-${formatBytes(pageBytes)}`;
}

/** A size in the largest unit that it is a whole number of. */
export function formatBytes(bytes: number): string {
  for (const [unit, shift] of [["Gi", 30] as const, ["Mi", 20] as const, ["Ki", 10] as const]) {
    if (bytes > 0 && bytes % 2 ** shift === 0) return `${bytes / 2 ** shift}${unit}`;
  }
  return String(bytes);
}

/**
 * The node's pools of huge pages as they are now. None where no cgroup controller counts them: there one pod could take what another was
 * promised.
 */
export async function readHugepages(): Promise<HugepagePool[]> {
  if (!(await hasController())) return [];
  const names = await readdir(folder).catch(() => []);
  const pools = await Promise.all(
    names.map(async (name) => {
      const kilobytes = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? 0);
      return { pageBytes: kilobytes * 1024, count: Number(await readFile(`${folder}/${name}/nr_hugepages`, "utf8")) };
    }),
  );
  return pools.filter(({ pageBytes }) => pageBytes > 0).sort((a, b) => a.pageBytes - b.pageBytes);
}

async function hasController(): Promise<boolean> {
  const unified = await readFile("/sys/fs/cgroup/cgroup.controllers", "utf8").catch(() => "");
  if (unified.split(/\s/).includes("hugetlb")) return true;
  return / - cgroup \S+ (\S*,)?hugetlb(,|$)/m.test(await readFile("/proc/self/mountinfo", "utf8"));
}
