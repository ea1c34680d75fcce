import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, it } from "node:test";
import { findFaults, readManifests } from "./read-manifests.ts";

const nothing = Readable.from([]);

describe("manifests", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "manifests-"));
  });
  afterEach(async () => await rm(folder, { recursive: true }));
  const write = async (name: string, text: string) => {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  };
  const named = (name: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\n`;

  it("come from files of several documents, folders in the order of names, and stdin", async () => {
    const first = await write("first.yaml", `${named("a")}---\n${named("b")}---\n`);
    await mkdir(join(folder, "more"));
    await write("more/2.json", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d"}}');
    await write("more/1.yml", named("c"));
    await write("more/README.md", "not a manifest");
    const manifests = await readManifests([first, join(folder, "more"), "-"], Readable.from([named("e")]));
    assert.deepEqual(
      manifests.map(({ object }) => object.metadata?.name),
      ["a", "b", "c", "d", "e"],
    );
    assert.equal(manifests[4]?.source, "stdin");
  });

  it("say where a field is, in later documents too, and where its place would be", async () => {
    const file = await write("pods.yaml", `${named("a")}---\n${named("b")}data:\n  x: 1\n`);
    const [, second] = await readManifests([file], nothing);
    assert.equal(second?.lineOf("data.x"), 11);
    assert.equal(second?.lineOf("data.missing"), 10);
  });

  it("of a List are its items, each with its own place", async () => {
    const file = await write("list.yaml", "apiVersion: v1\nkind: List\nitems:\n- kind: A\n- kind: B\n  x: 1\n");
    const manifests = await readManifests([file], nothing);
    assert.deepEqual(
      manifests.map(({ object, lineOf }) => [object.kind, lineOf("x")]),
      [
        ["A", 4],
        ["B", 6],
      ],
    );
  });

  it("report the faults of all files at once", async () => {
    const one = await write("one.yaml", "a: [\n");
    const two = await write("two.yaml", "a: 1\na: 2\n");
    await assert.rejects(readManifests([one, two], nothing), (error: Error & { causes: { message: string }[] }) => {
      assert.match(error.causes[0]?.message ?? "", /one\.yaml: .*line/);
      assert.match(error.causes[1]?.message ?? "", /two\.yaml: duplicate key a \(line 2/);
      return true;
    });
  });

  for (const [sentence, text, said] of [
    ["a text", "hello\n", /an object was expected, not "hello" \(line 1\)/],
    ["a list", "- a\n", /an object was expected, not a list/],
    ["nothing", "# only a comment\n", /there is no object in/],
  ] as const) {
    it(`refuse ${sentence}`, async () => {
      const file = await write("x.yaml", text);
      await assert.rejects(readManifests([file], nothing), { reason: "BadRequest", message: said });
    });
  }

  it("refuse a file that is not there, and a folder without manifests", async () => {
    await assert.rejects(readManifests([join(folder, "nope.yaml")], nothing), {
      reason: "NotFound",
      message: /no file or folder .*nope\.yaml/,
    });
    await assert.rejects(readManifests([folder], nothing), { reason: "BadRequest", message: /holds no \.yaml/ });
  });

  it("must say what they are and how they are called", async () => {
    const file = await write("x.yaml", "metadata:\n  labels: {}\n");
    assert.deepEqual(findFaults(await readManifests([file], nothing)), [
      `${file}: apiVersion is missing, such as "apiVersion: v1" (line 1)`,
      `${file}: kind is missing, such as "kind: Pod" (line 1)`,
      `${file}: metadata.name is missing (line 1)`,
    ]);
  });
});
