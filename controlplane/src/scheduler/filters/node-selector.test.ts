import assert from "node:assert/strict";
import { test } from "node:test";
import { node, pod } from "../../controllers/testing/builders.ts";
import { BenchTable } from "../testing/bench-table.ts";
import { nodeSelector } from "./node-selector.ts";

const refusal = "node(s) didn't match Pod's node affinity/selector";

test("every label of the selector must be there with its value", () => {
  const table = new BenchTable([node("both").label("disk", "ssd").label("zone", "a"), node("one").label("disk", "ssd"), node("none")]);
  assert.deepEqual(table.refusals(nodeSelector, pod("p").selects("disk", "ssd").selects("zone", "a")), {
    both: undefined,
    one: refusal,
    none: refusal,
  });
  assert.deepEqual(table.refusals(nodeSelector, pod("p").selects("disk", "hdd")), { both: refusal, one: refusal, none: refusal });
});
