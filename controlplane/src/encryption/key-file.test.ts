import assert from "node:assert/strict";
import { appendFile, mkdtemp, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { pino } from "pino";
import { newKey, parseKeyFile, readKeyFile, writeKeyFile } from "./key-file.ts";
import { withKeyFileLock } from "./key-file-lock.ts";
import { addEncryptionKey } from "./rotate.ts";
import { WatchedKeyFile } from "./watched-key-file.ts";

const log = pino({ level: "silent" });
const first = newKey(new Date("2026-11-21T00:00:00Z"));

let dir: string;
let path: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "tessera-keys-"));
  path = join(dir, "encryption-keys.json");
  await writeKeyFile(path, [first], "create");
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe("the key file", () => {
  test("holds what was written, for its owner only, and leaves nothing else", async () => {
    const [read] = (await readKeyFile(path)) ?? [];
    assert.equal(read?.id, first.id);
    assert.equal(read?.createdAt, "2026-11-21T00:00:00.000Z");
    assert.ok(read?.secret.equals(first.secret));
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(dir), ["encryption-keys.json"]);
  });

  test("is made by one of two that start together, whose keys both then have", async () => {
    await rm(path);
    const made = await Promise.all([newKey(new Date()), newKey(new Date())].map((key) => writeKeyFile(path, [key], "create")));
    assert.deepEqual(made.sort(), [false, true]);
    assert.equal((await readKeyFile(path))?.length, 1);
    assert.deepEqual(await readdir(dir), ["encryption-keys.json"]);
  });

  const key = Buffer.alloc(32, 1).toString("base64");
  const createdAt = "2026-11-21T00:00:00Z";
  const faults: [string, string, RegExp][] = [
    ["text that is no JSON", `{"keys": ["${key}`, /^Error: f: not JSON$/],
    ["another shape", "[]", /f: expected \{ "keys": \[\.\.\.\] \}/],
    ["no keys", '{"keys":[]}', /f: keys: expected at least one/],
    ["an id that cannot stand in an envelope", JSON.stringify({ keys: [{ id: "a:b", createdAt, key }] }), /keys\[0\]\.id: expected/],
    ["a key of 128 bits", JSON.stringify({ keys: [{ id: "a", createdAt, key: key.slice(0, 22) }] }), /keys\[0\]\.key: expected 32 bytes/],
    ["a time that is none", JSON.stringify({ keys: [{ id: "a", createdAt: "soon", key }] }), /keys\[0\]\.createdAt: expected a time/],
    ["two keys of one id", JSON.stringify({ keys: ["a", "a"].map((id) => ({ id, createdAt, key })) }), /the id "a" is there twice/],
  ];
  for (const [what, text, message] of faults) {
    test(`with ${what} is refused without a word of what it holds`, () => {
      assert.throws(
        () => parseKeyFile(text, "f"),
        (error: Error) => message.test(String(error)) && error.cause === undefined && !String(error.stack).includes(key.slice(0, 10)),
      );
    });
  }
});

describe("a rotation", () => {
  test("puts the new key first and keeps the others", async () => {
    const id = await addEncryptionKey(path, new Date());
    assert.deepEqual(
      (await readKeyFile(path))?.map((each) => each.id),
      [id, first.id],
    );
  });

  test("does not run beside another one, whose key would be lost", async () => {
    await withKeyFileLock(path, async () => {
      await assert.rejects(addEncryptionKey(path, new Date()), /is being changed by another process, try again/);
    });
    await addEncryptionKey(path, new Date());
    assert.equal((await readKeyFile(path))?.length, 2);
  });
});

describe("WatchedKeyFile", () => {
  test("writes under the new key at once, told or not", async () => {
    const keys = new WatchedKeyFile(path, log);
    assert.equal(keys.current().id, first.id);
    const id = await addEncryptionKey(path, new Date());
    assert.equal(keys.current().id, id);
    assert.equal(keys.find(first.id)?.id, first.id);
  });

  test("looks again for a key that it does not know", async () => {
    const keys = new WatchedKeyFile(path, log);
    const id = await addEncryptionKey(path, new Date());
    assert.equal(keys.find(id)?.id, id);
    assert.equal(keys.find("nobody-has-it"), undefined);
  });

  test("tells of a change in the folder by itself", async () => {
    const keys = new WatchedKeyFile(path, log);
    const stop = new AbortController();
    const told = Promise.withResolvers<void>();
    keys.onChange(told.resolve);
    keys.follow(stop.signal);
    // The watch alone does not keep a process alive.
    const alive = setInterval(() => {}, 1_000);
    await addEncryptionKey(path, new Date());
    await told.promise;
    clearInterval(alive);
    stop.abort();
  });

  test("whose file is gone reads on and writes nothing, until it is back", async () => {
    const keys = new WatchedKeyFile(path, log);
    await rename(path, `${path}.away`);
    assert.throws(() => keys.current(), {
      reason: "InternalError",
      message: /no Secret can be written: the encryption keys cannot be read: ENOENT/,
    });
    assert.equal(keys.find(first.id)?.id, first.id);
    await rename(`${path}.away`, path);
    assert.equal(keys.current().id, first.id);
  });

  test("whose file is damaged reads on and writes nothing, until it is mended", async () => {
    const keys = new WatchedKeyFile(path, log);
    await appendFile(path, "}");
    assert.throws(() => keys.current(), {
      reason: "InternalError",
      message: /no Secret can be written: .*encryption-keys\.json: not JSON/,
    });
    assert.throws(() => keys.current(), /not JSON/, "also when it was seen before");
    assert.equal(keys.find(first.id)?.id, first.id);
    await writeKeyFile(path, [first], "replace");
    assert.equal(keys.current().id, first.id);
  });

  test("does not begin with a damaged file", async () => {
    await writeFile(path, "");
    assert.throws(() => new WatchedKeyFile(path, log), /not JSON/);
  });
});
