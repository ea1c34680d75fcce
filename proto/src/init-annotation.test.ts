import assert from "node:assert/strict";
import { test } from "node:test";
import { parseInitAnnotation } from "./init-annotation.ts";

for (const [value, choice] of [
  [undefined, "none"],
  ["false", "none"],
  ["true", "all"],
  [" true ", "all"],
  ["app", ["app"]],
  ["app, sidecar", ["app", "sidecar"]],
  // No container has such a name, so validation refuses it.
  ["", [""]],
  ["True", ["True"]],
] as const)
  test(`${JSON.stringify(value)} chooses ${JSON.stringify(choice)}`, () => assert.deepEqual(parseInitAnnotation(value), choice));
