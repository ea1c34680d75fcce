import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeSelectorRequirement } from "@tessera/proto";
import { node, pod } from "../../controllers/testing/builders.ts";
import { BenchTable } from "../testing/bench-table.ts";
import { nodeAffinity } from "./node-affinity.ts";

/** Two nodes, gen=5 and gen=12 zone=a. */
const nodes = () => new BenchTable([node("old").label("gen", "5"), node("new").label("gen", "12").label("zone", "a")]);
const refused = (filter: Record<string, string | undefined>) => Object.keys(filter).filter((name) => filter[name] !== undefined);

const cases: { says: string; requirement: NodeSelectorRequirement; refused: string[] }[] = [
  { says: "In", requirement: { key: "zone", operator: "In", values: ["a", "b"] }, refused: ["old"] },
  { says: "NotIn holds without the label", requirement: { key: "zone", operator: "NotIn", values: ["a"] }, refused: ["new"] },
  { says: "Exists", requirement: { key: "zone", operator: "Exists" }, refused: ["old"] },
  { says: "DoesNotExist", requirement: { key: "zone", operator: "DoesNotExist" }, refused: ["new"] },
  { says: "Gt compares numbers, not text", requirement: { key: "gen", operator: "Gt", values: ["9"] }, refused: ["old"] },
  { says: "Lt", requirement: { key: "gen", operator: "Lt", values: ["9"] }, refused: ["new"] },
  { says: "Gt of what is no number", requirement: { key: "zone", operator: "Gt", values: ["9"] }, refused: ["old", "new"] },
  { says: "an unknown operator", requirement: { key: "gen", operator: "Like", values: ["5"] }, refused: ["old", "new"] },
];

for (const { says, requirement, refused: expected } of cases) {
  test(`node affinity: ${says}`, () => {
    assert.deepEqual(refused(nodes().refusals(nodeAffinity, pod("p").requires(requirement))), expected);
  });
}

test("node affinity: terms are alternatives, requirements of one term are not", () => {
  const isNew: NodeSelectorRequirement = { key: "zone", operator: "Exists" };
  const isOld: NodeSelectorRequirement = { key: "gen", operator: "In", values: ["5"] };
  assert.deepEqual(refused(nodes().refusals(nodeAffinity, pod("p").requires(isNew).requires(isOld))), []);
  assert.deepEqual(refused(nodes().refusals(nodeAffinity, pod("p").requires(isNew, isOld))), ["old", "new"]);
});

test("node affinity: an empty term matches no node", () => {
  assert.deepEqual(refused(nodes().refusals(nodeAffinity, pod("p").requires())), ["old", "new"]);
});

test("node affinity: matchFields knows the node's name", () => {
  const named = pod("p").with(({ spec }) => {
    const term = { matchFields: [{ key: "metadata.name", operator: "In", values: ["new"] }] };
    spec.affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] } } };
  });
  assert.deepEqual(refused(nodes().refusals(nodeAffinity, named)), ["old"]);
});
