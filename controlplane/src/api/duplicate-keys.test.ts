import assert from "node:assert/strict";
import { test } from "node:test";
import { findDuplicateKeys } from "./duplicate-keys.ts";

function duplicates(text: string): string[] {
  return findDuplicateKeys(Buffer.from(text), JSON.parse(text)).map((fault) => fault.path);
}

const cases: [what: string, text: string, paths: string[]][] = [
  ["nothing", "{}", []],
  ["no object at all", '[1, "a:b", null]', []],
  ["the same key in different objects", '{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}', []],
  ["colons, quotes and braces in strings", '{"a:b": "{\\"c\\": 1, \\"c\\": 2}", "d\\\\": ":", "é:": "\\\\\\""}', []],
  ["a key twice", '{"a": 1, "a": 2}', ["a"]],
  ["a key three times is one fault", '{"a": 1, "a": 2, "a": 3}', ["a"]],
  ["below lists and objects", '{"s": {"c": [{"n": 1}, {"n": 1, "x": [[], {}], "n": 2}]}}', ["s.c[1].n"]],
  ["in a list of lists", '[[1, {"a": 1}], [{"a": 1, "a": 2}]]', ["[1][0].a"]],
  ["a key that is no word", '{"labels": {"app/name": "a", "app/name": "b"}}', ["labels[app/name]"]],
  ["one key, spelt in two ways", '{"ab": 1, "\\u0061b": 2}', ["ab"]],
  ["keys that every object has", '{"__proto__": 1, "constructor": 2}', []],
  ["a repeated key that every object has", '{"__proto__": 1, "__proto__": 2}', ["__proto__"]],
  ["what a duplicate hides", '{"a": {"b": 1, "b": 2}, "a": 3}', ["a.b", "a"]],
];

for (const [what, text, paths] of cases) {
  test(`${what}: ${paths.length === 0 ? "none" : paths.join()}`, () => assert.deepEqual(duplicates(text), paths));
}

test("strings end where they end, however long they are and whatever they escape", () => {
  for (let length = 0; length < 70; length++) {
    for (const end of ['"', '":', "\\", '\\"', '\\\\":', "\\\\\\"]) {
      const object = { a: "x".repeat(length) + end, b: `${end}:${"é".repeat(length)}${end}`, c: 1 };
      assert.deepEqual(duplicates(JSON.stringify(object)), []);
      assert.deepEqual(duplicates(JSON.stringify(object).replace(/\}$/, ',"c":2}')), ["c"]);
    }
  }
});

test("a hundred are told at most", () => {
  const pairs = Array.from({ length: 150 }, (_, at) => `"k${at}": 1, "k${at}": 2`);
  assert.equal(duplicates(`{${pairs.join()}}`).length, 100);
});

test("text as deep as a body may be is gone through", () => {
  const depth = 1_000_000;
  assert.deepEqual(duplicates("[".repeat(depth) + "]".repeat(depth)), []);
});
