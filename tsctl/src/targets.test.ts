import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ApiResource, Discovery } from "./api/discovery.ts";
import { parseTargetWords, resolveTargets } from "./targets.ts";

const resource = (plural: string, kind: string, more: Partial<ApiResource> = {}): ApiResource => ({
  group: "",
  version: "v1",
  kind,
  plural,
  singular: kind.toLowerCase(),
  namespaced: true,
  shortNames: [],
  categories: [],
  verbs: [],
  ...more,
});
const discovery = new Discovery([
  resource("pods", "Pod", { shortNames: ["po"], categories: ["all"] }),
  resource("nodes", "Node", { shortNames: ["no"], namespaced: false }),
  resource("leases", "Lease", { group: "coordination.k8s.io" }),
]);

describe("what a command points at", () => {
  for (const [words, targets] of [
    [["pods"], ["pods"]],
    [["po"], ["pods"]],
    [["Pod"], ["pods"]],
    [
      ["pod", "a", "b"],
      ["pods/a", "pods/b"],
    ],
    [["pods,no"], ["pods", "nodes"]],
    [
      ["pod/a", "node/b"],
      ["pods/a", "nodes/b"],
    ],
    [["leases.coordination.k8s.io"], ["leases"]],
    [["leases.v1.coordination.k8s.io"], ["leases"]],
    [["pods.v1"], ["pods"]],
    [["all"], ["pods"]],
  ] as const) {
    it(`"${words.join(" ")}" is ${targets.join(" and ")}`, () => {
      const found = resolveTargets(parseTargetWords(words, "get"), discovery);
      assert.deepEqual(
        found.map((target) => [target.resource.plural, target.name].filter(Boolean).join("/")),
        targets,
      );
    });
  }

  for (const [words, reason, said] of [
    [[], "BadRequest", /say what to get/],
    [["pod/a", "b"], "BadRequest", /"b" is not TYPE\/NAME/],
    [["pod/"], "BadRequest", /"pod\/" is not TYPE\/NAME/],
    [["a/b/c"], "BadRequest", /"a\/b\/c" is not TYPE\/NAME/],
    [["pods,nodes", "x"], "BadRequest", /names need one type/],
    [["pots"], "NotFound", /no resource type "pots"; "tsctl api-resources"/],
    [["pods.apps"], "NotFound", /no resource type "pods.apps"/],
  ] as const) {
    it(`refuses "${words.join(" ")}"`, () =>
      assert.throws(() => resolveTargets(parseTargetWords(words, "get"), discovery), { reason, message: said }));
  }
});
