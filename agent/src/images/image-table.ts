import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { writeDurably } from "./durable-file.ts";
import { type ImageProof, type ImageRights, withProof } from "./image-rights.ts";

/**
 * What images.json holds; everything else of the store is content-addressed. Names and rights are written together, so that no crash leaves
 * an image with a name and without the bounds of its use.
 */
export interface ImageTable {
  /** Digest of the manifest that each name, by tag or by digest, stands for. */
  readonly names: Readonly<Record<string, string>>;
  /** By digest of the manifest. */
  readonly rights: Readonly<Record<string, ImageRights>>;
  /** The node's own, for fingerprints. */
  readonly salt: string;
}

/** Throws when the file is there and cannot be read. */
export async function readImageTable(path: string): Promise<ImageTable> {
  let found: Partial<ImageTable>;
  try {
    found = JSON.parse(await readFile(path, "utf8")) as Partial<ImageTable>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    found = {};
  }
  return { names: found.names ?? {}, rights: found.rights ?? {}, salt: found.salt ?? randomBytes(16).toString("hex") };
}

export async function writeImageTable(path: string, table: ImageTable): Promise<void> {
  await writeDurably(path, Buffer.from(`${JSON.stringify(table, undefined, 1)}\n`));
}

/** The table with these names for the manifest, which somebody has got in such a way. */
export function withImage(table: ImageTable, manifest: string, names: readonly string[], proof: ImageProof): ImageTable {
  // An image from before rights were remembered is free, and a pull of the same content takes nothing away from that.
  const isOld = Object.values(table.names).includes(manifest) && table.rights[manifest] === undefined;
  const rights = isOld ? table.rights : { ...table.rights, [manifest]: withProof(table.rights[manifest], proof) };
  return withoutStrays({ ...table, names: { ...table.names, ...Object.fromEntries(names.map((name) => [name, manifest])) }, rights });
}

/** The table without the names of these manifests. */
export function withoutManifests(table: ImageTable, manifests: ReadonlySet<string>): ImageTable {
  return withoutStrays({
    ...table,
    names: Object.fromEntries(Object.entries(table.names).filter(([, manifest]) => !manifests.has(manifest))),
  });
}

/** Rights to what has no name any more would be those of whatever gets the same content later. */
function withoutStrays(table: ImageTable): ImageTable {
  const named = new Set(Object.values(table.names));
  return { ...table, rights: Object.fromEntries(Object.entries(table.rights).filter(([manifest]) => named.has(manifest))) };
}
