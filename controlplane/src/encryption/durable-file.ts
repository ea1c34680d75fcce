import { randomBytes } from "node:crypto";
import { link, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

/**
 * Writes a file that only its owner can read, whole or not at all, and safe from a loss of power once this resolves. "create" does not touch a file that is
 * there already, and resolves to false.
 */
export async function writeDurably(path: string, content: string, how: "create" | "replace"): Promise<boolean> {
  const dir = dirname(path);
  const temporary = join(dir, `.${randomBytes(6).toString("hex")}.tmp`);
  const file = await open(temporary, "wx", 0o600);
  try {
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    if (how === "replace") await rename(temporary, path);
    else await link(temporary, path);
  } catch (error) {
    if (how === "create" && (error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  const folder = await open(dir, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
  return true;
}
