import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { licenceFiles, packageFolders, readComponent } from "./licences.ts";

test("packages are found by the files that were bundled, nested and scoped ones too", () => {
  const inputs = [
    "agent/src/main.ts",
    "node_modules/pino/lib/a.js",
    "node_modules/pino/b.js",
    "node_modules/@x/y/z.js",
    "node_modules/a/node_modules/b/c.js",
  ];
  assert.deepEqual(packageFolders(inputs), ["node_modules/@x/y", "node_modules/a/node_modules/b", "node_modules/pino"]);
});

describe("a component", () => {
  const folder = mkdtempSync(join(tmpdir(), "tessera-licences-"));
  after(() => rmSync(folder, { recursive: true }));
  const describePackage = (fields: object) => writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "@x/y", ...fields }));

  test("that brings no text of its licence is refused", () => {
    describePackage({ version: "1.0.0", license: "MIT" });
    writeFileSync(join(folder, "license-check.js"), "check();");
    assert.throws(() => readComponent(folder), /brings no text of its licence, MIT/);
  });

  test("that does not name its licence is refused", () => {
    describePackage({ version: "1.0.0" });
    assert.throws(() => readComponent(folder), /does not name .* its licence/);
  });

  test("brings its texts into a file of its own", () => {
    describePackage({ version: "1.0.0", license: "MIT" });
    writeFileSync(join(folder, "license.md"), "Do what you like.\r\n");
    writeFileSync(join(folder, "NOTICE"), "By X.");
    const component = readComponent(folder);
    assert.deepEqual(component, { name: "@x/y", version: "1.0.0", licence: "MIT", texts: ["By X.", "Do what you like.\r\n"] });
    const [index, file] = licenceFiles([component]);
    assert.match(index?.text ?? "", /^@x\/y 1\.0\.0 \(MIT\): @x\/y-1\.0\.0\.txt$/m);
    assert.match(file?.text ?? "", /^@x\/y 1\.0\.0 \(MIT\)\n\nBy X\.\n\n-+\n\nDo what you like\.\n$/);
  });
});
