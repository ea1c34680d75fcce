import assert from "node:assert/strict";
import { test } from "node:test";
import { parseShared, StringPool } from "./shared-value.ts";

interface Shape {
  metadata: { resourceVersion: string; labels: Record<string, string> };
  spec: { containers: { name: string; image: string; ports: number[] }[]; nodeName?: string | null };
}

const base: Shape = {
  metadata: { resourceVersion: "1", labels: { app: "web-frontend" } },
  spec: { containers: [{ name: "main", image: "registry.example/web:1", ports: [80, 443] }] },
};

const parse = (value: unknown, previous?: unknown): Shape => parseShared(JSON.stringify(value), previous, new StringPool()) as Shape;

test("parsed values are frozen at every depth", () => {
  const value = parse(base);
  for (const part of [
    value,
    value.metadata,
    value.spec,
    value.spec.containers,
    value.spec.containers[0],
    value.spec.containers[0]?.ports,
  ]) {
    assert.ok(Object.isFrozen(part));
  }
});

test("what did not change is taken from the previous version", () => {
  const before = parse(base);
  const after = parse({ ...base, metadata: { ...base.metadata, resourceVersion: "2" } }, before);
  assert.notEqual(after, before);
  assert.equal(after.metadata.resourceVersion, "2");
  assert.equal(after.metadata.labels, before.metadata.labels);
  assert.equal(after.spec, before.spec);
});

const changes: [string, Shape["spec"]][] = [
  ["a field more", { ...base.spec, nodeName: "node-1" }],
  ["a null field more", { ...base.spec, nodeName: null }],
  ["a field less", { containers: [{ name: "main", image: "registry.example/web:1" } as Shape["spec"]["containers"][0]] }],
  ["an item more", { containers: [...base.spec.containers, { name: "side", image: "b", ports: [] }] }],
  ["an item less", { containers: [] }],
  ["another number", { containers: [{ name: "main", image: "registry.example/web:1", ports: [80, 444] }] }],
];

for (const [change, spec] of changes) {
  test(`${change} makes another spec, equal to what was parsed`, () => {
    const before = parse({ ...base });
    const after = parse({ ...base, spec }, before);
    assert.notEqual(after.spec, before.spec);
    assert.deepEqual(after, { ...base, spec });
    assert.deepEqual(before, base);
  });
}

test("a list does not become the object that was there before, nor the other way round", () => {
  const before = parse({ spec: { containers: [] } });
  assert.deepEqual(parse({ spec: { containers: {} } }, before), { spec: { containers: {} } });
  assert.deepEqual(parse({ spec: { containers: [] } }, parse({ spec: { containers: {} } })), { spec: { containers: [] } });
});

test("the pool keeps what is asked for and forgets the rest", () => {
  const pool = new StringPool(2);
  // Equal strings cannot be told apart in JavaScript; what shows is that the pool stays usable beyond its size.
  for (let i = 0; i < 100; i++) assert.equal(pool.intern(`text ${i % 7}`), `text ${i % 7}`);
});
