import assert from "node:assert/strict";
import { test } from "node:test";
import { drawChart, niceStep } from "./chart.ts";

test("steps of an axis are round", () => {
  assert.deepEqual([0.011, 0.1, 1, 1.2, 3, 6, 20, 24, 900].map(niceStep), [0.02, 0.1, 1, 2, 5, 10, 20, 50, 1000]);
});

test("points lie where their axes say", () => {
  const svg = drawChart({
    title: "a < b",
    x: { label: "x", scale: "log" },
    y: { label: "y", scale: "linear" },
    lines: [
      {
        name: "one",
        points: [
          [1, 0],
          [2, 5],
          [4, 10],
        ],
      },
    ],
    marks: true,
  });
  // Doublings are equally far apart; zero is at the bottom and ten at the top.
  assert.match(svg, /points="64,304 382,174 700,44"/);
  assert.match(svg, />a &lt; b</);
  assert.equal(svg.match(/<circle/g)?.length, 3);
});
