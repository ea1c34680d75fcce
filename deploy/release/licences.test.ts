import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { licenceDocument, packageFolders, readComponent } from "./licences.ts";

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

test("a component brings its texts, and one without a licence is refused", () => {
  const folder = mkdtempSync(join(tmpdir(), "tessera-licences-"));
  try {
    writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "x", version: "1.0.0", license: "MIT" }));
    writeFileSync(join(folder, "LICENSE.md"), "Do what you like.\r\n");
    writeFileSync(join(folder, "NOTICE"), "By X.");
    const component = readComponent(folder);
    assert.deepEqual(component, { name: "x", version: "1.0.0", licence: "MIT", texts: ["Do what you like.\r\n", "By X."] });
    assert.match(licenceDocument([component]), /^x 1\.0\.0 \(MIT\)\n=+\n\nDo what you like\.\n\nBy X\.\n/m);
    writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "x", version: "1.0.0" }));
    assert.throws(() => readComponent(folder), /does not name .* its licence/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
