import assert from "node:assert/strict";
import test from "node:test";
import { schemaOf, TesseraError } from "@tessera/proto";
import { applyStrategicMergePatch } from "./strategic-merge-patch.ts";

const schema = schemaOf({ group: "", version: "v1", kind: "Pod" });
if (schema === undefined) throw new Error("no schema of Pod");

function patched(current: object, patch: object): unknown {
  return applyStrategicMergePatch(current, patch, schema as NonNullable<typeof schema>);
}

const two = {
  spec: {
    containers: [
      { name: "a", image: "a:1" },
      { name: "b", image: "b:1" },
    ],
  },
};
const names = (object: unknown) => (object as typeof two).spec.containers.map((container) => container.name);

interface Case {
  readonly current: object;
  readonly patch: object;
  readonly result: object;
}

const cases: { [sentence: string]: Case } = {
  "maps are merged and null removes": {
    current: { metadata: { labels: { a: "1", b: "2" } } },
    patch: { metadata: { labels: { a: null, c: "3" } } },
    result: { metadata: { labels: { b: "2", c: "3" } } },
  },
  "items of a keyed list are merged by their key": {
    current: two,
    patch: {
      spec: {
        containers: [
          { name: "b", image: "b:2" },
          { name: "c", image: "c:1" },
        ],
      },
    },
    result: {
      spec: {
        containers: [
          { name: "a", image: "a:1" },
          { name: "b", image: "b:2" },
          { name: "c", image: "c:1" },
        ],
      },
    },
  },
  "an item is deleted by its key": {
    current: two,
    patch: { spec: { containers: [{ name: "a", $patch: "delete" }] } },
    result: { spec: { containers: [{ name: "b", image: "b:1" }] } },
  },
  "a list is replaced on demand": {
    current: two,
    patch: { spec: { containers: [{ name: "z", image: "z" }, { $patch: "replace" }] } },
    result: { spec: { containers: [{ name: "z", image: "z" }] } },
  },
  "an object is replaced on demand": {
    current: { spec: { securityContext: { runAsUser: 1, fsGroup: 2 } } },
    patch: { spec: { securityContext: { $patch: "replace", fsGroup: 3 } } },
    result: { spec: { securityContext: { fsGroup: 3 } } },
  },
  "an object that is deleted is an empty one, as in Kubernetes": {
    current: { spec: { securityContext: { runAsUser: 1 }, hostname: "a" } },
    patch: { spec: { securityContext: { $patch: "delete" } } },
    result: { spec: { securityContext: {}, hostname: "a" } },
  },
  "to merge is what is done without being told": {
    current: { spec: { securityContext: { runAsUser: 1 } } },
    patch: { spec: { $patch: "merge", securityContext: { $patch: "merge", fsGroup: 2 } } },
    result: { spec: { securityContext: { runAsUser: 1, fsGroup: 2 } } },
  },
  "an order orders a set as well": {
    current: { metadata: { finalizers: ["a/a", "b/b"] } },
    patch: { metadata: { finalizers: ["c/c"], "$setElementOrder/finalizers": ["c/c", "b/b", "a/a"] } },
    result: { metadata: { finalizers: ["c/c", "b/b", "a/a"] } },
  },
  "lists without a key are replaced": {
    current: { spec: { containers: [{ name: "a", command: ["x", "y"] }] } },
    patch: { spec: { containers: [{ name: "a", command: ["z"] }] } },
    result: { spec: { containers: [{ name: "a", command: ["z"] }] } },
  },
  "a set gains what is new and loses what is named": {
    current: { metadata: { finalizers: ["a/a", "b/b"] } },
    patch: { metadata: { finalizers: ["b/b", "c/c"], "$deleteFromPrimitiveList/finalizers": ["a/a"] } },
    result: { metadata: { finalizers: ["b/b", "c/c"] } },
  },
  "only the retained keys of a union stay": {
    current: { spec: { volumes: [{ name: "v", emptyDir: {} }] } },
    patch: { spec: { volumes: [{ name: "v", $retainKeys: ["name", "configMap"], configMap: { name: "c" } }] } },
    result: { spec: { volumes: [{ name: "v", configMap: { name: "c" } }] } },
  },
  "directives do not end up in new objects": {
    current: {},
    patch: {
      spec: {
        containers: [{ name: "a", securityContext: { $patch: "replace", privileged: true } }],
        "$setElementOrder/containers": [{ name: "a" }],
      },
    },
    result: { spec: { containers: [{ name: "a", securityContext: { privileged: true } }] } },
  },
  "an order alone orders": {
    current: two,
    patch: { spec: { "$setElementOrder/containers": [{ name: "b" }, { name: "a" }] } },
    result: {
      spec: {
        containers: [
          { name: "b", image: "b:1" },
          { name: "a", image: "a:1" },
        ],
      },
    },
  },
  "numbers of ports tell ports apart": {
    current: { spec: { containers: [{ name: "a", ports: [{ containerPort: 80 }] }] } },
    patch: { spec: { containers: [{ name: "a", ports: [{ containerPort: 80, name: "http" }, { containerPort: 81 }] }] } },
    result: { spec: { containers: [{ name: "a", ports: [{ containerPort: 80, name: "http" }, { containerPort: 81 }] }] } },
  },
};

for (const [sentence, { current, patch, result }] of Object.entries(cases)) {
  test(sentence, () => {
    const before = structuredClone(current);
    assert.deepEqual(patched(current, patch), result);
    assert.deepEqual(current, before);
  });
}

test("what only the server knows keeps its place in the sender's order", () => {
  const current = { spec: { containers: [{ name: "server" }, { name: "a" }, { name: "b" }] } };
  const patch = { spec: { containers: [{ name: "c" }], "$setElementOrder/containers": [{ name: "b" }, { name: "c" }, { name: "a" }] } };
  assert.deepEqual(names(patched(current, patch)), ["server", "b", "c", "a"]);
});

const bad: [patch: unknown, text: RegExp][] = [
  [[], /JSON object/],
  [{ spec: { containers: "x" } }, /spec\.containers: must be a list/],
  [{ spec: { containers: ["x"] } }, /spec\.containers\[0\]: must be an object/],
  [{ spec: { containers: [{ image: "x" }] } }, /spec\.containers: an item lacks the merge key name/],
  [{ spec: { $patch: "explode" } }, /unknown \$patch directive "explode"/],
  [{ spec: { $retainKeys: "x" } }, /\$retainKeys must be a list/],
];

for (const [patch, text] of bad) {
  test(`${JSON.stringify(patch)} is refused`, () => {
    assert.throws(
      () => patched(two, patch as object),
      (error) => error instanceof TesseraError && error.reason === "BadRequest" && text.test(error.message),
    );
  });
}
