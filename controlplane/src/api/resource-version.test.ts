import assert from "node:assert/strict";
import test from "node:test";
import { formatContinueToken, parseContinueToken } from "./continue-token.ts";
import { parseResourceVersion } from "./resource-version.ts";

test("a resourceVersion is a whole number that can be held exactly", () => {
  assert.equal(parseResourceVersion("12"), 12);
  for (const text of ["", "-1", "1.5", "x", "9007199254740993"])
    assert.throws(() => parseResourceVersion(text), /must be a non-negative integer/);
});

test("a continue token comes back as it went", () => {
  for (const revision of [5, "newest"] as const) {
    const token = { revision, namespace: "a", name: "b/ä" };
    assert.deepEqual(parseContinueToken(formatContinueToken(token)), token);
  }
});

test("a token that is not ours is refused", () => {
  for (const text of ["x", "", Buffer.from("{}").toString("base64url"), Buffer.from("null").toString("base64url")]) {
    assert.throws(() => parseContinueToken(text), /continue key is not valid/);
  }
});
