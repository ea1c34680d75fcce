/** Folders that a benchmark works in; their names say whose they are. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isAlive } from "./process-usage.ts";

/** A file system in memory. */
const memory = "/dev/shm";

/** A new folder of this process, on a disk or in memory. Whoever makes it removes it. */
export function makeWorkFolder(where: "disk" | "memory" = "disk"): string {
  return mkdtempSync(join(where === "disk" ? tmpdir() : memory, `tessera-bench-${process.pid}-`));
}

/** Removes those of benchmarks that were killed. */
export function removeStaleWorkFolders(): void {
  for (const parent of [tmpdir(), memory]) {
    for (const name of readdirSync(parent)) {
      const pid = Number(/^tessera-bench-(\d+)-\w{6}$/.exec(name)?.[1] ?? Number.NaN);
      if (!Number.isNaN(pid) && !isAlive(pid)) rmSync(join(parent, name), { recursive: true, force: true });
    }
  }
}
