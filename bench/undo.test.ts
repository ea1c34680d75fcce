import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";

const prelude = `
  import { runProgram, told, withUndo } from ${JSON.stringify(join(import.meta.dirname, "undo.ts"))};
  const say = (what) => console.log(what);`;

/** What a program says that does `body`, and how it ends; it gets the signal once it is "up". */
async function outcome(body: string, signal?: NodeJS.Signals): Promise<{ said: string[]; code: unknown; stderr: string }> {
  const program = ["--input-type=module", "--eval", `${prelude} await runProgram(async () => { ${body} });`];
  const child = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    if (signal !== undefined && piece.includes("up")) child.kill(signal);
  });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { said: stdout.trim().split("\n"), code, stderr };
}

/** Two things that are owed, one within the other. */
const owing = (body: string, inner = `say("inner undone")`) =>
  `await withUndo(() => say("outer undone"), () => withUndo(async () => { ${inner} }, async () => { ${body} }));`;

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const)
  test(`${signal} undoes what is owed, the newest first, and ends the program`, async () => {
    const forever = `say("up"); setInterval(() => {}, 1000); await new Promise(() => {});`;
    const { said, code: ended } = await outcome(owing(forever), signal);
    assert.deepEqual([said, ended], [["up", "inner undone", "outer undone"], code]);
  });

test("an undo that fails is told and keeps nothing else from being undone", async () => {
  const stubborn = `say("up"); setInterval(() => {}, 1000); await new Promise(() => {});`;
  const { said, code, stderr } = await outcome(owing(stubborn, `throw new Error("it is stuck")`), "SIGINT");
  assert.deepEqual([said, code], [["up", "outer undone"], 130]);
  assert.match(stderr, /could not clean up.*it is stuck/);
});

test("what is broken off by the end is undone once, and is no failure of its own", async () => {
  const aborted = `say("up"); await new Promise((resolve, reject) => told.addEventListener("abort", () => reject(new Error("broken off")), { once: true }));`;
  const { said, code, stderr } = await outcome(owing(`const timer = setInterval(() => {}, 1000); ${aborted}`), "SIGTERM");
  assert.deepEqual([said, code, stderr], [["up", "inner undone", "outer undone"], 143, ""]);
});

test("a benchmark that fails is undone too", async () => {
  const { said, code, stderr } = await outcome(owing(`throw new Error("it broke")`));
  assert.deepEqual([said, code], [["inner undone", "outer undone"], 1]);
  assert.match(stderr, /it broke/);
});
