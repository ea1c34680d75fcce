import assert from "node:assert/strict";
import { test } from "node:test";
import { replaceResourceVersion, withResourceVersion } from "./resource-version-bytes.ts";

const cases: [string, string, string | undefined][] = [
  [
    "goes in front of the other metadata",
    '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{}}',
    '{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"42","name":"a"},"spec":{}}',
  ],
  ["is alone in empty metadata", '{"kind":"Pod","metadata":{}}', '{"kind":"Pod","metadata":{"resourceVersion":"42"}}'],
  [
    "goes to the object's own metadata, not to that of a template in it",
    '{"kind":"Deployment","metadata":{"name":"a"},"spec":{"template":{"metadata":{"name":"b"}}}}',
    '{"kind":"Deployment","metadata":{"resourceVersion":"42","name":"a"},"spec":{"template":{"metadata":{"name":"b"}}}}',
  ],
  ["keeps characters of several bytes", '{"metadata":{"name":"ü€😀"}}', '{"metadata":{"resourceVersion":"42","name":"ü€😀"}}'],
  ["is not put into what is no object", '"metadata"', undefined],
];

for (const [behaviour, stored, expected] of cases) {
  test(`the resourceVersion ${behaviour}`, () => {
    assert.equal(withResourceVersion(Buffer.from(stored), 42, "kept")?.toString(), expected);
  });
}

test("a version is replaced by a longer or a shorter one", () => {
  const bytes = withResourceVersion(Buffer.from('{"metadata":{"name":"a","resourceVersionX":"1"}}'), 7, "kept") as Buffer;
  for (const version of [12_345, 8]) {
    const expected = `{"metadata":{"resourceVersion":"${version}","name":"a","resourceVersionX":"1"}}`;
    assert.equal(replaceResourceVersion(bytes, version).toString(), expected);
  }
});
