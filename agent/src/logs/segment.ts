import { constants } from "node:fs";
import { type FileHandle, open, readdir } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { TesseraError } from "@tessera/proto";
import { parseLine } from "./cri-line.ts";

/** One open file of a rotated log. It stays readable when it is renamed or removed. */
export interface Segment {
  readonly file: FileHandle;
  readonly inode: number;
}

/**
 * Opens one file of a log, undefined when there is none. Whoever can write to the folder could have put something else there: links, pipes
 * and devices are refused, and never waited for.
 */
export async function openSegment(path: string): Promise<Segment | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT") return undefined;
    if (code === "ELOOP" || code === "ENXIO") throw refusal(path);
    throw error;
  }
  const stats = await file.stat();
  if (!stats.isFile() || stats.nlink > 1) {
    await file.close();
    throw refusal(path);
  }
  return { file, inode: stats.ino };
}

function refusal(path: string): TesseraError {
  return new TesseraError("Forbidden", `log file ${path} is not a plain file; it is not read`);
}

/**
 * Opens all files of the log at `path` (path, path.1, path.2 ...), the oldest first. The log may be rotated meanwhile: each file moves to the
 * next number, so going up the numbers meets some file twice but misses none.
 */
export async function openSegments(path: string): Promise<Segment[]> {
  const highest = await highestNumber(path);
  const segments: Segment[] = [];
  for (let number = 0; ; number += 1) {
    const segment = await openSegment(number === 0 ? path : `${path}.${number}`);
    if (segment === undefined && number > highest) return segments;
    if (segment === undefined) continue;
    if (segments.some((known) => known.inode === segment.inode)) await segment.file.close();
    else segments.unshift(segment);
  }
}

async function highestNumber(path: string): Promise<number> {
  const prefix = `${basename(path)}.`;
  const names = await readdir(dirname(path)).catch((): string[] => []);
  const numbers = names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  return Math.max(0, ...numbers.filter((number) => /^\d{1,4}$/.test(number)).map(Number));
}

export async function closeSegments(segments: Iterable<Segment>): Promise<void> {
  for (const segment of segments) await segment.file.close();
}

const BLOCK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/**
 * Where the last `lines` whole lines of the file begin, read from its end. `found` is how many there are, when fewer.
 */
export async function tailOffset(segment: Segment, lines: number): Promise<{ offset: number; found: number }> {
  let position = (await segment.file.stat()).size;
  let rest: Buffer = Buffer.alloc(0);
  let found = 0;
  let earliest = position;
  while (position > 0) {
    const size = Math.min(BLOCK_BYTES, position);
    position -= size;
    const block = Buffer.alloc(size);
    await segment.file.read(block, 0, size, position);
    rest = Buffer.concat([block, rest]);
    for (let end = rest.lastIndexOf(NEWLINE); end >= 0; ) {
      const before = end === 0 ? -1 : rest.lastIndexOf(NEWLINE, end - 1);
      if (before < 0 && position > 0) break;
      // Pieces of a long line belong to the whole line that ends it, so only its end counts.
      if (parseLine(rest.subarray(before + 1, end))?.isFull ?? false) {
        if (found === lines) return { offset: earliest, found };
        found += 1;
      }
      earliest = position + before + 1;
      rest = rest.subarray(0, before + 1);
      end = before;
    }
  }
  return { offset: earliest, found };
}
