import { open, rename } from "node:fs/promises";

/** Replaces a file so that after a crash at any moment either the old or the new content is there in full. */
export async function writeDurably(path: string, content: Uint8Array): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
