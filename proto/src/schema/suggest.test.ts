import assert from "node:assert/strict";
import { test } from "node:test";
import { editDistance, suggest } from "./suggest.ts";

test("the nearest candidate is suggested, and none when all are far", () => {
  const fields = ["image", "imagePullPolicy", "tty", "env", "envFrom", "volumeMounts", "stdin", "stdinOnce", "resources"];
  const table: [word: string, suggestion: string | undefined][] = [
    ["imagePulPolicy", "imagePullPolicy"],
    ["IMAGE", "image"],
    ["image-pull-policy", "imagePullPolicy"],
    ["env_from", "envFrom"],
    ["evn", "env"],
    ["volumeMount", "volumeMounts"],
    ["resuorces", "resources"],
    ["foo", undefined],
    ["x", undefined],
    ["", undefined],
    ["completelyDifferent", undefined],
  ];
  for (const [word, suggestion] of table) {
    assert.equal(suggest(word, fields), suggestion, word);
  }
});

test("the distance counts letters changed, added, left out and swapped", () => {
  assert.equal(editDistance("", "abc"), 3);
  assert.equal(editDistance("kitten", "sitting"), 3);
  assert.equal(editDistance("ab", "ba"), 1);
  assert.equal(editDistance("same", "same"), 0);
});
