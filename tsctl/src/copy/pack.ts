import { type BigIntStats, constants } from "node:fs";
import { lstat, open, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Header, type Pack, pack } from "tar-stream";

/** What the field of a tar header holds. */
const LONGEST_NAME_BYTES = 100;
const BLOCK_BYTES = 512;

type Named = Partial<Header> & { readonly name: string };

/**
 * A tar archive of the file or folder at `path`, which is called `name` there. Links are packed as what they are; what is neither file nor
 * folder nor link is left out, and told.
 */
export function packTree(path: string, name: string, onSkipped: (path: string, why: string) => void): AsyncIterable<Uint8Array> {
  const archive = pack();
  add(archive, path, name, onSkipped).then(
    () => archive.finalize(),
    (error: Error) => archive.destroy(error),
  );
  // What a packer yields is bytes; its types do not say so.
  return archive as AsyncIterable<unknown> as AsyncIterable<Uint8Array>;
}

async function add(archive: Pack, path: string, name: string, onSkipped: (path: string, why: string) => void): Promise<void> {
  const stats = await lstat(path, { bigint: true });
  if (stats.isFile()) return await addFile(archive, path, name);
  if (stats.isSymbolicLink())
    return await addEntry(archive, { ...attributes(stats), name, type: "symlink", linkname: await readlink(path) });
  if (!stats.isDirectory()) return onSkipped(path, "it is neither file nor folder nor link");
  await addEntry(archive, { ...attributes(stats), name, type: "directory" });
  for (const child of (await readdir(path)).sort()) await add(archive, join(path, child), `${name}/${child}`, onSkipped);
}

async function addFile(archive: Pack, path: string, name: string): Promise<void> {
  // What has become a pipe since it was looked at must not be waited for.
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const stats = await file.stat({ bigint: true });
  const size = Number(stats.size);
  const header = { ...attributes(stats), name, type: "file", size } as const;
  if (size === 0) return await addEntry(archive, header);
  // A log may grow meanwhile: as much as there was when we looked is copied.
  await pipeline(file.createReadStream({ start: 0, end: size - 1, autoClose: false }), archive.entry(shortened(archive, header)));
}

async function addEntry(archive: Pack, header: Named): Promise<void> {
  const short = shortened(archive, header);
  await new Promise<void>((resolve, reject) => archive.entry(short, "", (error) => (error ? reject(error) : resolve())));
}

function attributes({ mode, uid, gid, mtimeMs }: BigIntStats) {
  return { mode: Number(mode & 0o7777n), uid: Number(uid), gid: Number(gid), mtime: new Date(Number(mtimeMs)) };
}

/**
 * Writes names that the header cannot hold before it, in GNU's form, which all tar programs read. tar-stream would choose that of PAX;
 * busybox passes over it and then makes a file of another name.
 */
function shortened(archive: Pack, header: Named): Named {
  let { name, linkname } = header;
  if (!isPlain(linkname ?? "")) {
    archive.push(longName("K", linkname ?? ""));
    linkname = "long";
  }
  if (!isPlain(name)) {
    archive.push(longName("L", header.type === "directory" ? `${name}/` : name));
    name = "long";
  }
  return { ...header, name, ...(linkname !== undefined && { linkname }) };
}

function isPlain(name: string): boolean {
  return /^[\x20-\x7e]*$/.test(name) && name.length < LONGEST_NAME_BYTES;
}

/** A record of type L (the next entry's name) or K (its target). */
function longName(flag: "L" | "K", name: string): Buffer {
  const content = Buffer.from(`${name}\0`);
  const record = Buffer.alloc(BLOCK_BYTES + Math.ceil(content.length / BLOCK_BYTES) * BLOCK_BYTES);
  record.write("././@LongLink", 0);
  record.write("0000644\x000000000\x000000000\0", 100);
  record.write(`${content.length.toString(8).padStart(11, "0")}\x0000000000000\0`, 124);
  record.write(`        ${flag}`, 148);
  record.write("ustar  \0", 257);
  const sum = record.subarray(0, BLOCK_BYTES).reduce((total, byte) => total + byte, 0);
  record.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  content.copy(record, BLOCK_BYTES);
  return record;
}
