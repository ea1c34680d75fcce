import assert from "node:assert/strict";
import test from "node:test";
import { formatAge, formatDuration } from "./age.ts";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

const cases: [ms: number, text: string][] = [
  [0, "0s"],
  [-900, "0s"],
  [-5 * second, "<invalid>"],
  [119 * second, "119s"],
  [2 * minute, "2m"],
  [2 * minute + 5 * second, "2m5s"],
  [10 * minute + 5 * second, "10m"],
  [179 * minute, "179m"],
  [3 * hour, "3h"],
  [3 * hour + 30 * minute, "3h30m"],
  [8 * hour + 30 * minute, "8h"],
  [47 * hour, "47h"],
  [2 * day + 3 * hour, "2d3h"],
  [8 * day + 3 * hour, "8d"],
  [729 * day, "729d"],
  [730 * day, "2y"],
  [800 * day, "2y70d"],
  [9 * 365 * day, "9y"],
];

for (const [ms, text] of cases) {
  test(`${ms} ms is ${text}`, () => assert.equal(formatDuration(ms), text));
}

test("the age of what has no time is unknown", () => assert.equal(formatAge(undefined, 0), "<unknown>"));
