import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { journalText } from "./journal.ts";

test("a line is text with the journal's priority, an error one with where it came from", () => {
  const line = (level: number, rest: object) => journalText(JSON.stringify({ level, time: 1, ...rest }));
  const fields = { part: "cache", what: "two words", n: 1, to: ["a:1"], none: null };
  assert.equal(line(30, { msg: "connected", ...fields }), '<6>connected part=cache what="two words" n=1 to=["a:1"] none=null\n');
  const err = {
    type: "Error",
    message: "it broke\nhere",
    stack: "Error: it broke\nhere\n    at f (a.ts:1:2)\ncaused by: x\n    at g (b.ts:3:4)",
  };
  assert.equal(line(40, { msg: "retrying", err }), "<4>retrying: it broke\n<4>here\n");
  assert.equal(
    line(50, { err, step: "x" }),
    ["it broke", "here step=x", "    at f (a.ts:1:2)", "    at g (b.ts:3:4)"].map((each) => `<3>${each}\n`).join(""),
  );
  assert.deepEqual(
    [10, 20, 30, 40, 50, 60].map((level) => line(level, { msg: "x" })),
    ["<7>x\n", "<7>x\n", "<6>x\n", "<4>x\n", "<3>x\n", "<2>x\n"],
  );
});

test("only a stderr that is the journal's stream gets text", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tessera-journal-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "stderr");
  const program = `
    import { readableInJournal } from ${JSON.stringify(join(import.meta.dirname, "journal.ts"))};
    readableInJournal(process.stderr).write(JSON.stringify({ level: 30, time: 1, msg: "hello" }) + "\\n");`;
  const said = (streamOf: (stats: { dev: number; ino: number }) => string | undefined): string => {
    const fd = openSync(path, "w");
    const env = { ...process.env, JOURNAL_STREAM: streamOf(fstatSync(fd)) };
    const { status } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], { env, stdio: ["ignore", "inherit", fd] });
    closeSync(fd);
    assert.equal(status, 0);
    return readFileSync(path, "utf8");
  };
  const json = '{"level":30,"time":1,"msg":"hello"}\n';
  assert.equal(
    said(({ dev, ino }) => `${dev}:${ino}`),
    "<6>hello\n",
  );
  assert.equal(
    said(({ dev, ino }) => `${dev}:${ino + 1}`),
    json,
  );
  assert.equal(
    said(() => undefined),
    json,
  );
});
