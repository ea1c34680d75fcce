import assert from "node:assert/strict";
import { it } from "node:test";
import { ReferencedObjects } from "./referenced-objects.ts";

const key = { kind: "Secret", namespace: "default", name: "s" } as const;
const secret = (resourceVersion: string, data: Record<string, string> = { a: "MQ==" }) => ({
  metadata: { name: "s", resourceVersion },
  data,
});

it("an object changed when its content did, came or went, and not for a new version alone", () => {
  const objects = new ReferencedObjects();
  assert.equal(objects.set(key, secret("1")), true, "it came");
  assert.equal(objects.set(key, secret("2")), false, "a new version, as of new encryption keys");
  assert.equal(objects.get("Secret", "default", "s").is, "present");
  assert.equal(objects.set(key, secret("3", { a: "Mg==" })), true, "new content");
  assert.equal(objects.set(key, undefined), true, "it went");
  assert.equal(objects.set(key, undefined), false);
  assert.equal(objects.set(key, secret("4", { a: "Mg==" })), true, "it came again");
});
