import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { mergeRules, schemaOf } from "@tessera/proto";
import { type Fields, threeWayPatch } from "./three-way-patch.ts";

const pod = schemaOf({ group: "", version: "v1", kind: "Pod" });
assert.ok(pod);
const rules = mergeRules(pod);

const container = (name: string, more: object = {}) => ({ name, image: "x", ...more });
const spec = (fields: object): Fields => ({ spec: fields });

/** [sentence, applied last, applied now, on the server, patch] */
const cases: readonly [string, Fields, Fields, Fields, Fields][] = [
  ["nothing for what is the same", spec({ nodeName: "a" }), spec({ nodeName: "a" }), spec({ nodeName: "a", priority: 0 }), {}],
  ["sets what differs", {}, spec({ nodeName: "b" }), spec({ nodeName: "a" }), spec({ nodeName: "b" })],
  ["leaves alone what others set", {}, { metadata: { labels: { a: "1" } } }, { metadata: { labels: { a: "1", theirs: "2" } } }, {}],
  [
    "removes what was applied and no longer is",
    { metadata: { labels: { a: "1", b: "2" } } },
    { metadata: { labels: { a: "1" } } },
    { metadata: { labels: { a: "1", b: "2", theirs: "3" } } },
    { metadata: { labels: { b: null } } },
  ],
  [
    "does not remove what is gone already",
    { metadata: { labels: { b: "2" } } },
    { metadata: { labels: {} } },
    { metadata: { labels: {} } },
    {},
  ],
  [
    "removes a whole object that was applied",
    spec({ securityContext: { runAsUser: 1 } }),
    spec({}),
    spec({ securityContext: { runAsUser: 1 } }),
    spec({ securityContext: null }),
  ],
  [
    "changes one container among several by its name",
    spec({ containers: [container("a"), container("b")] }),
    spec({ containers: [container("a"), container("b", { image: "y" })] }),
    spec({ containers: [container("injected"), container("a"), container("b")] }),
    spec({ "$setElementOrder/containers": [{ name: "a" }, { name: "b" }], containers: [{ name: "b", image: "y" }] }),
  ],
  [
    "adds a container and deletes another one, and keeps what was injected",
    spec({ containers: [container("a"), container("b")] }),
    spec({ containers: [container("a"), container("c")] }),
    spec({ containers: [container("injected"), container("a"), container("b")] }),
    spec({
      "$setElementOrder/containers": [{ name: "a" }, { name: "c" }],
      containers: [container("c"), { $patch: "delete", name: "b" }],
    }),
  ],
  [
    "removes a field inside a list's item",
    spec({ containers: [container("a", { tty: true })] }),
    spec({ containers: [container("a")] }),
    spec({ containers: [container("a", { tty: true })] }),
    spec({ "$setElementOrder/containers": [{ name: "a" }], containers: [{ name: "a", tty: null }] }),
  ],
  [
    "replaces a list that has no merge key",
    spec({ containers: [container("a", { args: ["1"] })] }),
    spec({ containers: [container("a", { args: ["1", "2"] })] }),
    spec({ containers: [container("a", { args: ["1"] })] }),
    spec({ "$setElementOrder/containers": [{ name: "a" }], containers: [{ name: "a", args: ["1", "2"] }] }),
  ],
  [
    "adds to and takes from a set",
    { metadata: { finalizers: ["mine/a"] } },
    { metadata: { finalizers: ["mine/b"] } },
    { metadata: { finalizers: ["theirs/x", "mine/a"] } },
    {
      metadata: {
        finalizers: ["mine/b"],
        "$deleteFromPrimitiveList/finalizers": ["mine/a"],
        "$setElementOrder/finalizers": ["mine/b"],
      },
    },
  ],
  ["makes an object that is empty", {}, spec({ securityContext: {} }), spec({}), spec({ securityContext: {} })],
  ["takes null for not said", {}, spec({ nodeName: null }), spec({ nodeName: "a" }), {}],
];

describe("the patch of apply", () => {
  for (const [sentence, last, wanted, current, patch] of cases) {
    it(sentence, () => assert.deepEqual(threeWayPatch(last, wanted, current, rules), patch));
  }
});
