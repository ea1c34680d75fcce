/** A file of an initramfs. */
export interface InitramfsFile {
  /** Without a slash before it; the folder it is in must come earlier. */
  readonly path: string;
  /** Absent: a folder. */
  readonly content?: Uint8Array;
}

const folderMode = 0o040755;
const fileMode = 0o100755;

/** An archive as the kernel unpacks it at boot: cpio's "newc" (Documentation/driver-api/early-userspace/buffer-format.rst). */
export function packInitramfs(files: readonly InitramfsFile[]): Buffer {
  const parts = files.flatMap(({ path, content }, index) =>
    entry(index + 1, path, content === undefined ? folderMode : fileMode, content ?? new Uint8Array()),
  );
  return Buffer.concat([...parts, ...entry(0, "TRAILER!!!", 0, new Uint8Array())]);
}

function entry(inode: number, path: string, mode: number, content: Uint8Array): Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  // inode, mode, uid, gid, links, mtime, size, device, device of a node (two each), length of the name, checksum
  const numbers = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${numbers.map((number) => number.toString(16).padStart(8, "0")).join("")}`);
  return [header, name, padding(header.length + name.length), content, padding(content.length)];
}

/** Header and content each end on a multiple of four. */
function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}
