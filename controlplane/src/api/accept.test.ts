import assert from "node:assert/strict";
import test from "node:test";
import { TesseraError } from "@tessera/proto";
import { type Form, negotiate } from "./accept.ts";

const all: Form[] = ["object", "table", "partial", "aggregated-discovery"];

const cases: [accept: string | undefined, form: Form, syntax: "json" | "yaml"][] = [
  [undefined, "object", "json"],
  ["", "object", "json"],
  ["*/*", "object", "json"],
  ["application/json, */*", "object", "json"],
  ["application/yaml", "object", "yaml"],
  ["application/vnd.kubernetes.protobuf,application/json", "object", "json"],
  ["application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "table", "json"],
  ["application/json;as=Table;v=v9;g=meta.k8s.io,application/json", "object", "json"],
  ["application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", "partial", "json"],
  ["application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json", "aggregated-discovery", "json"],
  ["application/yaml;q=0.5,application/json;q=0.9", "object", "json"],
  ["application/json;q=0,application/yaml", "object", "yaml"],
];

for (const [accept, form, syntax] of cases) {
  test(`Accept: ${accept} is answered as ${form} in ${syntax}`, () => {
    const representation = negotiate(accept, all);
    assert.deepEqual([representation.form, representation.syntax], [form, syntax]);
  });
}

test("a form that a resource does not have is passed over", () => {
  assert.equal(negotiate("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", ["object"]).form, "object");
});

test("what nobody can write is NotAcceptable", () => {
  for (const accept of ["text/html", "application/vnd.kubernetes.protobuf"]) {
    assert.throws(
      () => negotiate(accept, all),
      (error) => error instanceof TesseraError && error.reason === "NotAcceptable",
    );
  }
});
