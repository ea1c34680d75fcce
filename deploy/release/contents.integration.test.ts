import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type ReleaseContents, releaseContents, repository } from "./contents.ts";

function textOf(contents: ReleaseContents, path: string): string {
  const content = contents.entries.find((entry) => entry.path === path)?.content;
  assert.ok(content && "bytes" in content, `${path} is in the release`);
  return content.bytes.toString();
}

/** What a licence's text cannot do without: a grant, or the terms as a whole. */
const terms =
  /Permission is hereby granted|Permission to use, copy|Redistribution and use in source|TERMS AND CONDITIONS FOR USE|free and unencumbered/;

test("a release has the full text of the licence of everything that it carries along", async () => {
  using contents = await releaseContents("0.0.0-licences");
  const index = textOf(contents, "licenses/INDEX.txt");
  const paths = new Map([...index.matchAll(/^(\S+) \S+ \(.+\): (.+)$/gm)].map(([, name = "", path = ""]) => [name, path]));
  const node = `node-linux-${process.arch}`;
  const expected = ["pino", "koffi", "ms", "@bufbuild/protobuf", node, "debian/etcd-server", "debian/nats-server", "debian/musl"];
  assert.deepEqual(
    expected.filter((name) => !paths.has(name)),
    [],
    index,
  );
  const without = [...paths].filter(([, path]) => !terms.test(textOf(contents, `licenses/${path}`)));
  assert.deepEqual(without, []);
  // Node.js has those of the libraries that it is linked with in the same file.
  const ofNode = textOf(contents, `licenses/${paths.get(node)}`);
  for (const part of ["Node.js contributors", "located at deps/v8", "located at deps/openssl", "located at deps/uv"])
    assert.ok(ofNode.includes(part), part);
});

test("a release tells nothing of the machine that it was made on, has nothing that only development needs, and comes out the same again", async () => {
  using contents = await releaseContents("0.0.0-again");
  // What others have built has the paths of their machines.
  const ours = contents.entries.filter(({ path }) => !/^bin\/(node|etcd|nats-server)$|\.node$/.test(path));
  const bytesOf = ({ content }: (typeof ours)[number]) => ("bytes" in content ? content.bytes : readFileSync(content.file));
  const telling = [repository, "/tmp/tessera-"];
  const found = ours.flatMap((entry) => telling.filter((text) => bytesOf(entry).includes(text)).map((text) => `${entry.path}: ${text}`));
  assert.deepEqual(found, []);

  const needless = contents.entries
    .map(({ path }) => path)
    .filter((path) => /\.(map|ts|c|h|o)$|\.test\.|(^|\/)(dist|gen|src)\/.*\.md$/.test(path));
  assert.deepEqual(needless, []);
  const manifests = globSync(["package.json", "*/package.json"], { cwd: repository }).map(
    (path) => JSON.parse(readFileSync(join(repository, path), "utf8")) as Record<"dependencies" | "devDependencies", object | undefined>,
  );
  const shipped = new Set(manifests.flatMap(({ dependencies = {} }) => Object.keys(dependencies)));
  const development = manifests.flatMap(({ devDependencies = {} }) => Object.keys(devDependencies)).filter((name) => !shipped.has(name));
  assert.ok(development.includes("typescript"));
  const index = textOf(contents, "licenses/INDEX.txt");
  assert.deepEqual(
    development.filter((name) => index.includes(`\n${name} `)),
    [],
  );

  using again = await releaseContents("0.0.0-again");
  assert.equal(textOf(again, "SHA256SUMS"), textOf(contents, "SHA256SUMS"));
});
