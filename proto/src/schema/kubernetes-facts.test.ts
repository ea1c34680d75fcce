import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { builtinKinds } from "./catalog.ts";
import { OpenApiSchemas } from "./openapi-schemas.ts";
import { type FieldFacts, factsOf } from "./testing/field-facts.ts";

/** From Kubernetes 1.36; testing/write-kubernetes-facts.ts makes it. */
const theirs = JSON.parse(readFileSync(join(import.meta.dirname, "testing/kubernetes-facts.json"), "utf8")) as FieldFacts;

/** Fields of Kubernetes that are left out on purpose. */
const omitted: { readonly [object: string]: readonly string[] } = {
  // Drivers for these storage systems are no longer part of Kubernetes, or need software on the node that none here has.
  "io.k8s.api.core.v1.Volume": [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "iscsi",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
  ],
};

function ours(): FieldFacts {
  const schemas = new OpenApiSchemas();
  for (const kind of builtinKinds.kinds) {
    schemas.kind(kind);
  }
  return factsOf({ components: { schemas: schemas.toJson() } });
}

test("every object has the fields that Kubernetes has, with the same types and merge rules", () => {
  const found = ours();
  const differences: string[] = [];
  for (const [object, fields] of Object.entries(theirs)) {
    for (const [field, fact] of Object.entries(fields)) {
      const mine = found[object]?.[field];
      if (mine !== fact && !omitted[object]?.includes(field)) {
        differences.push(`${object}.${field} is ${mine ?? "missing"}, in Kubernetes ${fact}`);
      }
    }
    for (const field of Object.keys(found[object] ?? {})) {
      if (fields[field] === undefined) {
        differences.push(`${object}.${field} does not exist in Kubernetes`);
      }
    }
  }
  assert.deepEqual(differences, []);
});

test("the facts cover the kinds that people use", () => {
  for (const kind of ["Pod", "PodList", "Node", "Namespace", "ConfigMap", "Secret", "ServiceAccount", "Event", "Binding"]) {
    assert.ok(theirs[`io.k8s.api.core.v1.${kind}`], kind);
  }
  assert.ok(theirs["io.k8s.api.coordination.v1.Lease"]);
  assert.ok(theirs["io.k8s.api.policy.v1.Eviction"]);
  assert.equal(Object.keys(theirs).length > 150, true);
  for (const [object, fields] of Object.entries(omitted)) {
    assert.deepEqual(
      fields.filter((field) => theirs[object]?.[field] === undefined),
      [],
      `omitted fields of ${object} that Kubernetes does not have`,
    );
  }
});
