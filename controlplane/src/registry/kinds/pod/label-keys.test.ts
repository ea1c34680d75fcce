import assert from "node:assert/strict";
import { test } from "node:test";
import type { LabelSelector, PodAffinityTerm, PodSpec } from "@tessera/proto";
import { keepLabelKeys, mergeLabelKeys } from "./label-keys.ts";

const selector: LabelSelector = { matchLabels: { app: "web" } };
const labels = { app: "web", hash: "1", tenant: "t" };

/** The terms in all places of a spec. */
function withTerm(term: PodAffinityTerm): PodSpec {
  const terms = () => ({
    requiredDuringSchedulingIgnoredDuringExecution: [structuredClone(term)],
    preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, podAffinityTerm: structuredClone(term) }],
  });
  return { affinity: { podAffinity: terms(), podAntiAffinity: terms() } };
}

const cases: { says: string; term: PodAffinityTerm; merged: LabelSelector | undefined }[] = [
  {
    says: "values of the pod's own labels are asked for, and refused",
    term: { labelSelector: selector, matchLabelKeys: ["hash"], mismatchLabelKeys: ["tenant"] },
    merged: {
      ...selector,
      matchExpressions: [
        { key: "hash", operator: "In", values: ["1"] },
        { key: "tenant", operator: "NotIn", values: ["t"] },
      ],
    },
  },
  { says: "a label that the pod lacks is not asked for", term: { labelSelector: selector, matchLabelKeys: ["none"] }, merged: selector },
  { says: "without a selector nothing is selected", term: { matchLabelKeys: ["hash"] }, merged: undefined },
  {
    says: "what is asked for otherwise stays",
    term: { labelSelector: { matchExpressions: [{ key: "app", operator: "Exists" }] }, matchLabelKeys: ["hash"] },
    merged: {
      matchExpressions: [
        { key: "app", operator: "Exists" },
        { key: "hash", operator: "In", values: ["1"] },
      ],
    },
  },
];
for (const { says, term, merged } of cases) {
  test(`keys of labels: ${says}`, () => {
    const spec = withTerm(term);
    mergeLabelKeys({ metadata: { labels }, spec });
    assert.deepEqual(spec, withTerm({ ...term, ...(merged && { labelSelector: merged }) }));
    const once = structuredClone(spec);
    mergeLabelKeys({ metadata: { labels }, spec });
    assert.deepEqual(spec, once, "twice is the same as once");
  });
}

test("keys of labels are merged into constraints of spreading too", () => {
  const constraint = { maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule", matchLabelKeys: ["hash"] };
  const spec: PodSpec = { topologySpreadConstraints: [{ ...constraint, labelSelector: selector }] };
  mergeLabelKeys({ metadata: { labels }, spec });
  const merged = { ...selector, matchExpressions: [{ key: "hash", operator: "In", values: ["1"] }] };
  assert.deepEqual(spec, { topologySpreadConstraints: [{ ...constraint, labelSelector: merged }] });
});

test("a manifest without the merged values does not lose them, one with another selector is what it is", () => {
  const term = { labelSelector: selector, matchLabelKeys: ["hash"] };
  const current = withTerm(term);
  mergeLabelKeys({ metadata: { labels }, spec: current });
  const again = withTerm(term);
  keepLabelKeys(again, current);
  assert.deepEqual(again, current);
  const other = withTerm({ ...term, labelSelector: { matchLabels: { app: "db" } } });
  const before = structuredClone(other);
  keepLabelKeys(other, current);
  assert.deepEqual(other, before);
});
