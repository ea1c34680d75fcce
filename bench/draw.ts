/** `npm run bench:draw`: draws docs/performance/growth.jsonl, what `npm run bench -- growth` printed, as the charts beside it. */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Chart, drawChart } from "./chart.ts";
import type { Series } from "./growth.ts";

const folder = resolve(import.meta.dirname, "../docs/performance");

const charts: { readonly [name in Series["chart"]]: Omit<Chart, "lines"> } = {
  "pod-start": {
    title: "From created to Running, one pod after another",
    x: { label: "milliseconds", scale: "linear" },
    y: { label: "% of the pods", scale: "linear" },
    marks: false,
  },
  memory: {
    title: "Resident memory by the pods on one node",
    x: { label: "pods", scale: "linear" },
    y: { label: "MB", scale: "linear" },
    marks: true,
  },
  "api-rate": {
    title: "Calls a second by calls under way, objects of 1 KB",
    x: { label: "calls under way", scale: "log" },
    y: { label: "calls a second", scale: "linear" },
    marks: true,
  },
  "list-time": {
    title: "A list, to its last byte, by its length",
    x: { label: "objects of 1 KB", scale: "log" },
    y: { label: "milliseconds", scale: "linear" },
    marks: true,
  },
};

const series = readFileSync(join(folder, "growth.jsonl"), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Series);
for (const [name, chart] of Object.entries(charts)) {
  const lines = series.filter((each) => each.chart === name);
  if (lines.length === 0) throw new Error(`growth.jsonl has nothing for the chart ${name}`);
  writeFileSync(join(folder, `${name}.svg`), drawChart({ ...chart, lines }));
}
