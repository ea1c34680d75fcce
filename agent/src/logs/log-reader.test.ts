import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { appendFile, link, mkdtemp, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { TesseraError } from "@tessera/proto";
import { type LogOptions, readLog } from "./log-reader.ts";

const ALL: LogOptions = { follow: false, timestamps: false };

class TestEnd {
  ended = false;
  readonly listeners = new Set<() => void>();
  hasEnded(): boolean {
    return this.ended;
  }
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
  end(): void {
    this.ended = true;
    for (const listener of this.listeners) listener();
  }
}

describe("log reader", () => {
  let folder: string;
  let path: string;
  let end: TestEnd;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "tessera-log-"));
    path = join(folder, "0.log");
    end = new TestEnd();
  });
  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  const line = (text: string, second = 0, tag = "F", stream = "stdout") =>
    `2026-01-01T00:00:${String(second).padStart(2, "0")}.000000001Z ${stream} ${tag} ${text}\n`;

  /** `onRead` is told all that was read until then. */
  async function read(
    options: Partial<LogOptions> = {},
    signal = AbortSignal.timeout(30_000),
    onRead: (text: string) => void = () => {},
  ): Promise<string> {
    let text = "";
    for await (const chunk of readLog(path, { ...ALL, ...options }, end, signal)) {
      text += chunk.toString();
      onRead(text);
    }
    return text;
  }

  it("puts the pieces of a long line together and leaves out what is torn", async () => {
    await writeFile(
      path,
      `${line("one ", 0, "P")}${line("line", 0, "F")}garbage\n${line("", 1)}${line("err", 2, "F", "stderr")}2026-01-01T`,
    );
    assert.equal(await read(), "one line\n\nerr\n");
    assert.match(await read({ timestamps: true }), /^2026-01-01T00:00:00\.000000001Z one line\n2026\S+ \n2026\S+ err\n$/);
  });

  it("reads one of the streams alone", async () => {
    await writeFile(path, `${line("a", 0, "P")}${line("err", 0, "F", "stderr")}${line("b")}${line("late", 1, "F", "stderr")}`);
    assert.equal(await read({ only: "stdout" }), "ab\n");
    assert.equal(await read({ only: "stderr", limitBytes: 6 }), "err\nla");
  });

  it("reads rotated files in order, oldest first", async () => {
    await writeFile(`${path}.10`, line("oldest"));
    await writeFile(`${path}.2`, line("older"));
    await writeFile(`${path}.1`, line("old"));
    await writeFile(path, line("new"));
    await writeFile(join(folder, "1.log"), line("another attempt"));
    assert.equal(await read(), "oldest\nolder\nold\nnew\n");
  });

  it("finds the last lines across files and blocks, counting long lines once", async () => {
    const many = Array.from({ length: 5000 }, (_, number) => line(`line ${number} ${"x".repeat(40)}`)).join("");
    await writeFile(`${path}.1`, many);
    await writeFile(path, `${line("last ", 0, "P")}${line("but one")}${line("last")}`);
    assert.equal(await read({ tailLines: 2 }), "last but one\nlast\n");
    const tail = await read({ tailLines: 3000 });
    assert.equal(tail.split("\n").length - 1, 3000);
    assert.match(tail, /^line 2002 /);
    assert.equal(await read({ tailLines: 0 }), "");
    assert.equal((await read({ tailLines: 99_999 })).split("\n").length - 1, 5002);
  });

  it("honours since and the byte limit", async () => {
    await writeFile(path, line("a", 1) + line("b", 2) + line("c", 3));
    assert.equal(await read({ sinceMs: Date.parse("2026-01-01T00:00:02Z") }), "b\nc\n");
    assert.equal(await read({ limitBytes: 3 }), "a\nb");
  });

  it("follows through rotations without losing or doubling a line, until the container ends", async () => {
    await writeFile(path, line("start"));
    const signal = AbortSignal.timeout(30_000);
    const progress = new EventEmitter();
    let seen = "";
    const text = read({ follow: true }, signal, (sofar) => {
      seen = sofar;
      progress.emit("read");
    });
    const count = 400;
    for (let number = 0; number < count; number += 1) {
      await appendFile(path, line(`n${number}`));
      if (number % 40 === 39) {
        // Two files are kept: what is about to become the older one must have been read.
        while (number > 40 && !seen.includes(`n${number - 40}\n`)) await once(progress, "read", { signal });
        await rename(`${path}.1`, `${path}.2`).catch(() => undefined);
        await rename(path, `${path}.1`);
        await writeFile(path, "");
      }
      if (number % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    end.end();
    const expected = ["start", ...Array.from({ length: count }, (_, number) => `n${number}`)];
    const lines = (await text).trimEnd().split("\n");
    assert.equal(new Set(lines).size, lines.length, "no line twice");
    assert.deepEqual(lines, expected);
  });

  it("waits for a log that does not exist yet, and ends when its reader leaves", async () => {
    const stop = new AbortController();
    const reading = read({ follow: true }, stop.signal);
    await writeFile(path, line("late"));
    stop.abort();
    await assert.rejects(reading, { name: "AbortError" });
  });

  it("reads nothing but plain files, and does not wait for a pipe", async () => {
    const secret = join(folder, "secret");
    await writeFile(secret, line("secret"));
    const isRefused = (error: TesseraError) => {
      assert.equal(error.reason, "Forbidden");
      return true;
    };
    await symlink(secret, path);
    await assert.rejects(read(), isRefused);
    await rm(path);
    await link(secret, path);
    await assert.rejects(read(), isRefused);
    await rm(path);
    execFileSync("mkfifo", [path]);
    await assert.rejects(read(), isRefused);
  });

  it("closes what it opened", async () => {
    await writeFile(path, line("a"));
    const before = (await readdir("/proc/self/fd")).length;
    for (let round = 0; round < 20; round += 1) await read({ limitBytes: 1 });
    assert.ok((await readdir("/proc/self/fd")).length <= before + 2);
  });
});
