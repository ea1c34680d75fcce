import assert from "node:assert/strict";
import test from "node:test";
import { anyDefinition, definitions } from "../registry/definitions.ts";
import { parseIncludeObject, toTable } from "./table.ts";

const definition = anyDefinition(definitions.configMaps);
const object = {
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "a", creationTimestamp: "2026-01-01T00:00:00Z" },
  data: { x: "1" },
};
const options = {
  apiVersion: "meta.k8s.io/v1",
  includeObject: "Metadata",
  nowMs: Date.parse("2026-01-01T00:01:00Z"),
  withColumns: true,
} as const;

test("a table has the kind's columns, one row per object, and the metadata of each", () => {
  const table = toTable(definition, [object], { resourceVersion: "7" }, options);
  assert.deepEqual(
    table.columnDefinitions?.map((column) => [column.name, column.type, column.format, column.priority]),
    [
      ["Name", "string", "name", 0],
      ["Data", "integer", "", 0],
      ["Age", "string", "", 0],
    ],
  );
  assert.deepEqual(table.rows, [
    { cells: ["a", 1, "60s"], object: { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata } },
  ]);
  assert.deepEqual(table.metadata, { resourceVersion: "7" });
});

test("rows bring as much of the object as is asked for", () => {
  assert.equal(toTable(definition, [object], {}, { ...options, includeObject: "None" }).rows?.[0]?.object, undefined);
  assert.deepEqual(toTable(definition, [object], {}, { ...options, includeObject: "Object" }).rows?.[0]?.object, object);
  assert.throws(() => parseIncludeObject("Some"), /expected None, Metadata or Object/);
});

test("every kind's columns have cells for an empty object", () => {
  for (const each of Object.values(definitions)) {
    const [row] = toTable(anyDefinition(each as typeof definitions.pods), [{}], {}, options).rows ?? [];
    assert.equal(row?.cells?.includes(undefined), false, each.plural);
    assert.equal(row?.cells?.length, each.columns.length);
  }
});
