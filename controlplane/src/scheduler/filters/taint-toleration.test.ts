import assert from "node:assert/strict";
import { test } from "node:test";
import type { Toleration } from "@tessera/proto";
import { node, pod } from "../../controllers/testing/builders.ts";
import { BenchTable } from "../testing/bench-table.ts";
import { taintToleration } from "./taint-toleration.ts";

const refusal = "node(s) had untolerated taint {gpu: only}";
const cases: { says: string; toleration?: Toleration; effect?: string; refused: boolean }[] = [
  { says: "no toleration", refused: true },
  { says: "the same key and value", toleration: { key: "gpu", operator: "Equal", value: "only" }, refused: false },
  { says: "Equal is the default operator", toleration: { key: "gpu", operator: "", value: "only" }, refused: false },
  { says: "another value", toleration: { key: "gpu", operator: "Equal", value: "none" }, refused: true },
  { says: "Exists ignores the value", toleration: { key: "gpu", operator: "Exists" }, refused: false },
  { says: "Exists without a key tolerates everything", toleration: { key: "", operator: "Exists" }, refused: false },
  { says: "another key", toleration: { key: "cpu", operator: "Exists" }, refused: true },
  { says: "another effect", toleration: { key: "gpu", operator: "Exists", effect: "NoExecute" }, refused: true },
  { says: "NoExecute keeps away too", effect: "NoExecute", refused: true },
  { says: "PreferNoSchedule refuses nobody", effect: "PreferNoSchedule", refused: false },
];

for (const { says, toleration, effect = "NoSchedule", refused } of cases) {
  test(`taint: ${says}`, () => {
    const table = new BenchTable([node("n").taint("gpu", effect, "only")]);
    const asking = toleration ? pod("a").tolerates(toleration.key ?? "", toleration) : pod("a");
    assert.deepEqual(table.refusals(taintToleration, asking), { n: refused ? refusal : undefined });
  });
}

test("every taint must be tolerated, and the first that is not is named", () => {
  const table = new BenchTable([node("n").taint("a", "NoSchedule").taint("b", "NoSchedule", "v")]);
  assert.deepEqual(table.refusals(taintToleration, pod("p").tolerates("a")), { n: "node(s) had untolerated taint {b: v}" });
  assert.deepEqual(table.refusals(taintToleration, pod("p")), { n: "node(s) had untolerated taint {a: }" });
});
