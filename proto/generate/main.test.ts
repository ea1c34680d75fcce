import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";

const main = join(import.meta.dirname, "main.ts");
const folder = await mkdtemp(join(tmpdir(), "generate-test-"));
after(() => rm(folder, { recursive: true }));

async function generate(...args: string[]): Promise<void> {
  await promisify(execFile)(process.execPath, [main, ...args]);
}

async function contents(below: string): Promise<Map<string, string>> {
  const names = (await readdir(below, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const files = names.map(({ parentPath, name }) => join(parentPath, name)).sort();
  return new Map(await Promise.all(files.map(async (file) => [file.slice(below.length), await readFile(file, "utf8")] as const)));
}

test("two generations are equal, and Node runs them as they are", async () => {
  const [first, second] = [await mkdtemp(join(folder, "a-")), await mkdtemp(join(folder, "b-"))];
  await generate("--out", first);
  await generate("--out", second);
  const files = await contents(first);
  assert.deepEqual(await contents(second), files);
  for (const name of ["/api.ts", "/schemas.ts", "/tessera/node/v1/node.ts", "/tessera/api/core/v1/pod.ts"]) {
    assert.ok(files.has(name), name);
  }
  const { Hello } = (await import("@tessera/proto/node")) as typeof import("../gen/tessera/node/v1/node.ts");
  const hello = Hello.fromPartial({ nodeName: "node-1", pods: [{ uid: "u" }] });
  assert.deepEqual(Hello.decode(Hello.encode(hello).finish()), hello);
});

test("values that protobuf has no type for are plain JSON types, not empty objects", async () => {
  const scalars = await readFile(join(import.meta.dirname, "../gen/tessera/api/meta/v1/scalars.ts"), "utf8");
  assert.match(scalars, /^export type Quantity = string;$/m);
  assert.match(scalars, /^export type IntOrString = number \| string;$/m);
  assert.doesNotMatch(scalars, /interface/);
});

test("nothing is made when no input changed", async () => {
  await generate();
  const stamp = join(import.meta.dirname, "../gen/inputs.sha256");
  const before = await stat(stamp);
  await generate();
  assert.equal((await stat(stamp)).ino, before.ino);
});
