import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatAge, formatDuration, parseDuration } from "./age.ts";

describe("ages", () => {
  for (const [seconds, text] of [
    [-5, "0s"],
    [0, "0s"],
    [119, "119s"],
    [120, "2m"],
    [200, "3m20s"],
    [599, "9m59s"],
    [600, "10m"],
    [3 * 3600 - 1, "179m"],
    [3 * 3600, "3h"],
    [7 * 3600 + 300, "7h5m"],
    [47 * 3600, "47h"],
    [50 * 3600, "2d2h"],
    [8 * 86400, "8d"],
    [800 * 86400, "2y70d"],
  ] as const) {
    it(`${seconds} s are ${text}`, () => assert.equal(formatDuration(seconds * 1000), text));
  }

  it("of no time are unknown", () => {
    assert.equal(formatAge(undefined, 0), "<unknown>");
    assert.equal(formatAge("yesterday", 0), "<unknown>");
  });
});

describe("durations", () => {
  for (const [text, ms] of [
    ["90s", 90_000],
    ["1m30s", 90_000],
    ["1.5h", 5_400_000],
    ["250ms", 250],
    ["0", 0],
    ["2d", 172_800_000],
    ["10", undefined],
    ["", undefined],
    ["s", undefined],
    ["1x", undefined],
    ["-1s", undefined],
    ["1s ", undefined],
  ] as const) {
    it(`"${text}" is ${ms} ms`, () => assert.equal(parseDuration(text), ms));
  }
});
