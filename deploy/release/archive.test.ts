import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { extract } from "tar-stream";
import { type ArchiveEntry, checksums, writeArchive } from "./archive.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-archive-"));
after(() => rmSync(folder, { recursive: true }));

async function archive(entries: readonly ArchiveEntry[]): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const output = new Writable({
    write(piece, _encoding, done) {
      pieces.push(piece);
      done();
    },
  });
  await writeArchive(entries, { folder: "tessera-1.0.0", epoch: 1_700_000_000 }, output);
  return Buffer.concat(pieces);
}

function entries(): ArchiveEntry[] {
  const path = join(folder, "program");
  writeFileSync(path, "#!/bin/sh\n", { mode: 0o700 });
  return [
    { path: "lib/a/b.txt", executable: false, content: { bytes: Buffer.from("text") } },
    { path: "bin/program", executable: true, content: { file: path } },
    { path: "README", executable: false, content: { bytes: Buffer.from("") } },
  ];
}

test("the same files give the same bytes, whatever their order, times, owners and modes", async () => {
  const first = await archive(entries());
  const again = entries().reverse();
  utimesSync(join(folder, "program"), 1, 1);
  assert.ok(first.equals(await archive(again)));
});

test("folders come before what is in them, all is root's and of one time", async () => {
  const tar = extract();
  tar.end(gunzipSync(await archive(entries())));
  const seen: string[] = [];
  for await (const entry of tar) {
    const { name, mode, uid, gid, mtime } = entry.header;
    seen.push(`${name} ${mode?.toString(8)}`);
    assert.deepEqual([uid, gid, mtime?.getTime()], [0, 0, 1_700_000_000_000]);
    entry.resume();
  }
  assert.deepEqual(seen, [
    "tessera-1.0.0/ 755",
    "tessera-1.0.0/bin/ 755",
    "tessera-1.0.0/lib/ 755",
    "tessera-1.0.0/lib/a/ 755",
    "tessera-1.0.0/README 644",
    "tessera-1.0.0/bin/program 755",
    "tessera-1.0.0/lib/a/b.txt 644",
  ]);
});

test("a file that cannot be read fails the archive", async () => {
  const missing: ArchiveEntry = { path: "gone", executable: false, content: { file: join(folder, "gone") } };
  await assert.rejects(archive([...entries(), missing]), { code: "ENOENT" });
});

test("checksums are those of sha256sum", async () => {
  const [text] = entries();
  assert.ok(text);
  const digest = createHash("sha256").update("text").digest("hex");
  assert.equal((await checksums([text])).toString(), `${digest}  lib/a/b.txt\n`);
});
