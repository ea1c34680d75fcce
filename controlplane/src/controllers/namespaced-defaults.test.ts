import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultServiceAccounts, ROOT_CA_CONFIG_MAP, rootCertificates } from "./namespaced-defaults.ts";
import { eventually } from "./testing/fakes.ts";
import { prepareLoop } from "./testing/run-loop.ts";

const namespace = (name: string) => ({ metadata: { name }, spec: { finalizers: ["kubernetes"] } });

test("namespaces, old and new, get the ServiceAccount default, also after somebody deleted it", async (t) => {
  const { registry, start } = prepareLoop(t, defaultServiceAccounts);
  await registry.namespaces.create(namespace("old"));
  start();
  await registry.namespaces.create(namespace("new"));
  const account = (name: string) => registry.serviceAccounts.cache.get(name, "default");
  await eventually("both have one", () => Boolean(account("old") && account("new")));
  const uid = account("old")?.uid;
  await registry.serviceAccounts.remove("old", "default");
  await eventually("there is another one", () => Boolean(account("old")) && account("old")?.uid !== uid);
});

test("a namespace that is being deleted gets none", async (t) => {
  const { registry, start } = prepareLoop(t, defaultServiceAccounts);
  await registry.namespaces.create(namespace("ending"));
  await registry.namespaces.create(namespace("active"));
  start();
  await eventually("it has one", () => registry.serviceAccounts.cache.size === 2);
  await registry.namespaces.remove("", "ending");
  await registry.serviceAccounts.remove("ending", "default");
  await registry.serviceAccounts.remove("active", "default");
  await eventually("the active one has one again", () => registry.serviceAccounts.cache.get("active", "default") !== undefined);
  assert.equal(registry.serviceAccounts.cache.get("ending", "default"), undefined);
});

test("every namespace has the cluster's CA, whatever anybody writes there", async (t) => {
  const { registry, start } = prepareLoop(t, rootCertificates);
  await registry.namespaces.create(namespace("a"));
  start();
  const said = () => registry.configMaps.cache.get("a", ROOT_CA_CONFIG_MAP)?.value.data;
  await eventually("it is there", () => said()?.["ca.crt"] === "PEM");
  await registry.configMaps.mutate("a", ROOT_CA_CONFIG_MAP, (map) => ({ ...map, data: { "ca.crt": "mine", more: "x" } }));
  await eventually("it is mended", () => said()?.["ca.crt"] === "PEM");
  assert.deepEqual(said(), { "ca.crt": "PEM" });
  await registry.configMaps.remove("a", ROOT_CA_CONFIG_MAP);
  await eventually("it is back", () => said()?.["ca.crt"] === "PEM");
});
