import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { findByJsonPath, parseJsonPath } from "./jsonpath.ts";

const pods = {
  kind: "List",
  items: [
    { metadata: { name: "a", labels: { "app.kubernetes.io/name": "web" } }, status: { phase: "Running", restarts: 3, ports: [80, 443] } },
    { metadata: { name: "b", labels: {} }, status: { phase: "Pending", restarts: 0, ports: [] } },
  ],
};

describe("jsonpath", () => {
  for (const [sentence, template, text] of [
    ["a field", "{.kind}", "List"],
    ["a field without braces", ".kind", "List"],
    ["a field without a dot", "kind", "List"],
    ["the root", "{$.kind}", "List"],
    ["all items, apart by spaces", "{.items[*].metadata.name}", "a b"],
    ["one item", "{.items[1].metadata.name}", "b"],
    ["the last item", "{.items[-1].metadata.name}", "b"],
    ["a slice", "{.items[0:1].metadata.name}", "a"],
    ["a slice from the end", "{.items[-1:].metadata.name}", "b"],
    ["every second one", "{.items[0].status.ports[::2]}", "80"],
    ["several fields", "{.items[0]['metadata.name','status']}", `${JSON.stringify(pods.items[0]?.status)}`],
    ["several items", "{.items[0,1].status.phase}", "Running Pending"],
    ["a key with dots, escaped", "{.items[0].metadata.labels.app\\.kubernetes\\.io/name}", "web"],
    ["a key with dots, quoted", "{.items[0].metadata.labels['app.kubernetes.io/name']}", "web"],
    ["items that pass a test", '{.items[?(@.status.phase=="Running")].metadata.name}', "a"],
    ["items by a number", "{.items[?(@.status.restarts > 0)].metadata.name}", "a"],
    ["items that do not", "{.items[?(@.status.phase!='Running')].metadata.name}", "b"],
    ["items that have a field", "{.items[?(@.metadata.labels.nope)].metadata.name}", ""],
    ["names at any depth", "{..name}", "a b"],
    ["text and escapes", '{.kind}{"\\n"}end', "List\nend"],
    ["a loop", "{range .items[*]}{.metadata.name}={.status.phase}{'\\t'}{end}", "a=Running\tb=Pending\t"],
    ["a loop in a loop", "{range .items[*]}{range .status.ports[*]}<{@}>{end}{end}", "<80><443>"],
    ["an object as JSON", "{.items[1].metadata}", '{"name":"b","labels":{}}'],
    ["nothing for what is not there", "{.nope.neither}", ""],
    ["nothing behind the end of a list", "{.items[7].metadata.name}", ""],
  ] as const) {
    it(`finds ${sentence}`, () => assert.equal(parseJsonPath(template).render(pods), text));
  }

  for (const [template, said] of [
    ["{.items[", /expected an index/],
    ["{.items[0", /expected "\]"/],
    ["{.kind", /expected "}"/],
    ["{range .items[*]}x", /\{range\} without \{end\}/],
    ["{end}", /\{end\} without \{range\}/],
    ['{"a}', /no closing "/],
    ["{.items[?(@.a=1)]}", /expected "\)"/],
    ["{.items[::0]}", /step of a slice/],
  ] as const) {
    it(`refuses ${template} and says where`, () => assert.throws(() => parseJsonPath(template), { reason: "BadRequest", message: said }));
  }

  it("takes a name that objects inherit for no field", () => assert.deepEqual(findByJsonPath(".constructor", pods), []));
});
