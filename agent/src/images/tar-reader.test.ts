import assert from "node:assert/strict";
import test from "node:test";
import { readTar, type TarEntry } from "./tar-reader.ts";
import { endOfTar, paxHeader, type RawHeader, rawEntry, tar } from "./testing/tar-bytes.ts";

type Read = Omit<TarEntry, "content"> & { readonly text: string };

/** Reads the archive, handed over in pieces of `pieceBytes`. */
async function read(archive: Buffer, pieceBytes = archive.length): Promise<Read[]> {
  async function* pieces() {
    for (let at = 0; at < archive.length; at += pieceBytes) yield archive.subarray(at, at + pieceBytes);
  }
  const entries: Read[] = [];
  for await (const { content, ...entry } of readTar(pieces())) {
    const parts: Buffer[] = [];
    for await (const part of content()) parts.push(Buffer.from(part));
    entries.push({ ...entry, text: Buffer.concat(parts).toString() });
  }
  return entries;
}

function invalid(message: RegExp) {
  return (error: { reason?: string; message: string }) => {
    assert.equal(error.reason, "Invalid", error.message);
    assert.match(error.message, message);
    return true;
  };
}

test("entries keep their attributes, however the bytes arrive", async () => {
  const archive = await tar(
    { name: "folder/", type: "directory", mode: 0o1777, uid: 7, gid: 8, mtime: new Date(86_400_000) },
    { name: "folder/file", content: "hello", mode: 0o4755 },
    { name: "link", type: "symlink", linkname: "folder/file" },
    { name: "hard", type: "link", linkname: "folder/file" },
    { name: "null", type: "character-device", devmajor: 1, devminor: 3 },
    { name: "pipe", type: "fifo" },
  );
  for (const pieceBytes of [1, 7, 511, 512, 513, archive.length]) {
    const entries = await read(archive, pieceBytes);
    assert.deepEqual(
      entries.map(({ name, type, text, linkName }) => [name, type, text, linkName]),
      [
        ["folder/", "directory", "", ""],
        ["folder/file", "file", "hello", ""],
        ["link", "symlink", "", "folder/file"],
        ["hard", "link", "", "folder/file"],
        ["null", "char", "", ""],
        ["pipe", "fifo", "", ""],
      ],
    );
    assert.deepEqual([entries[0]?.mode, entries[0]?.uid, entries[0]?.gid, entries[0]?.mtime], [0o1777, 7, 8, 86_400]);
    assert.equal(entries[1]?.mode, 0o4755);
    assert.deepEqual([entries[4]?.deviceMajor, entries[4]?.deviceMinor], [1, 3]);
  }
});

test("what is not read of an entry is skipped", async () => {
  const names: string[] = [];
  const archive = await tar({ name: "a", content: Buffer.alloc(5000, 1) }, { name: "b", content: "x" });
  for await (const entry of readTar(
    (async function* () {
      yield archive;
    })(),
  )) {
    names.push(entry.name);
    for await (const _ of entry.content()) break;
  }
  assert.deepEqual(names, ["a", "b"]);
});

test("extended attributes are bytes, not text", async () => {
  const capability = Buffer.from("010000020080ff00c3280000fe000000ffffffff", "hex");
  const entries = await read(
    Buffer.concat([
      paxHeader({ "SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.note": "a=b\nc" }),
      rawEntry({ name: "ping" }),
      rawEntry({ name: "plain" }),
      endOfTar,
    ]),
  );
  assert.deepEqual(entries[0]?.xattrs.get("security.capability"), capability);
  assert.equal(entries[0]?.xattrs.get("user.note")?.toString(), "a=b\nc");
  assert.equal(entries[1]?.xattrs.size, 0, "a PAX header is about the next entry only");
});

test("PAX records say more than a header can", async () => {
  const name = `${"folder/".repeat(60)}ünï`;
  const [entry] = await read(
    Buffer.concat([
      paxHeader({ path: name, uid: "3000000000", gid: "7", mtime: "1700000000.25", size: "3" }),
      rawEntry({ name: "short", content: Buffer.from("abc"), size: 0 }),
      endOfTar,
    ]),
  );
  assert.deepEqual([entry?.name, entry?.uid, entry?.gid, entry?.mtime, entry?.text], [name, 3_000_000_000, 7, 1_700_000_000.25, "abc"]);
});

test("GNU's long names and base-256 numbers are understood", async () => {
  const name = `${"n".repeat(150)}/file`;
  const [entry] = await read(
    Buffer.concat([
      rawEntry({ name: "././@LongLink", flag: "L", content: Buffer.from(`${name}\0`), magic: "ustar  \0" }),
      rawEntry({ name: "././@LongLink", flag: "K", content: Buffer.from("target\0"), magic: "ustar  \0" }),
      rawEntry({ name: "n", flag: "2", uid: Buffer.from([0x80, 0, 0, 0, 0x80, 0, 0, 1]), magic: "ustar  \0" }),
      endOfTar,
    ]),
  );
  assert.deepEqual([entry?.name, entry?.linkName, entry?.uid], [name, "target", 0x80000001]);
});

test("an archive ends at two blocks of zeros, and all of it is read", async () => {
  let pulled = 0;
  async function* source() {
    for (const part of [rawEntry({ name: "a" }), endOfTar, Buffer.alloc(4096, 1)]) {
      pulled += part.length;
      yield part;
    }
  }
  const names: string[] = [];
  for await (const entry of readTar(source())) names.push(entry.name);
  assert.deepEqual(names, ["a"]);
  assert.equal(pulled, 512 + 1024 + 4096);
});

test("an archive without its end mark and last filling is read, as umoci writes it", async () => {
  const archive = rawEntry({ name: "a", content: Buffer.from("abc") }).subarray(0, 515);
  assert.deepEqual(
    (await read(archive)).map(({ name, text }) => [name, text]),
    [["a", "abc"]],
  );
});

test("the source is let go when the reader stops early", async () => {
  let released = false;
  async function* source() {
    try {
      for (;;) yield rawEntry({ name: "a" });
    } finally {
      released = true;
    }
  }
  for await (const _ of readTar(source())) break;
  assert.ok(released);
});

const file = (more: Partial<RawHeader> = {}) => rawEntry({ name: "f", content: Buffer.from("content"), ...more });
const spoilt = (entry: Buffer, at: number) => Buffer.concat([entry.subarray(0, at), Buffer.from([0xee]), entry.subarray(at + 1)]);

const unsound: readonly [says: string, archive: Buffer, message: RegExp][] = [
  ["a header changed after its checksum", Buffer.concat([spoilt(file(), 0), endOfTar]), /checksum of a header is wrong/],
  ["an archive cut short in a content", file().subarray(0, 518), /ends in the middle/],
  ["an archive cut short in a header", file().subarray(0, 100), /ends in the middle/],
  ["a block of zeros between entries", Buffer.concat([Buffer.alloc(512), file()]), /zeros/],
  ["a PAX header cut short", paxHeader({ path: "x" }).subarray(0, 520), /ends in the middle/],
  [
    "a PAX record that is longer than its header",
    rawEntry({ name: "x", flag: "x", content: Buffer.from("99 path=a\n") }),
    /PAX record is malformed/,
  ],
  ["a PAX record without a value", rawEntry({ name: "x", flag: "x", content: Buffer.from("7 path\n") }), /PAX record is malformed/],
  ["a PAX header of a gigabyte", rawEntry({ name: "x", flag: "x", size: 2 ** 30 }), /extended header is 1073741824 bytes long/],
  ["a negative size", Buffer.concat([paxHeader({ size: "-1" }), file()]), /has the size -1/],
  ["a name that is not UTF-8", file({ name: Buffer.from([0x66, 0xff]) }), /not UTF-8/],
  ["a NUL in a PAX name", Buffer.concat([paxHeader({ path: "a\0b" }), file()]), /NUL/],
  ["a sparse file of GNU tar", file({ flag: "S" }), /unknown type "S"/],
  ["a sparse file in PAX records", Buffer.concat([paxHeader({ "GNU.sparse.major": "1" }), file()]), /sparse/],
  ["a number that is none", file({ uid: Buffer.from("12x4567\0") }), /uid of a header is no octal number/],
];

for (const [says, archive, message] of unsound) {
  test(`${says} is refused`, () => assert.rejects(read(archive), invalid(message)));
}
