import assert from "node:assert/strict";
import { scenario, shellPod } from "../harness/scenario.ts";

for (const program of ["kubectl", "tsctl"] as const) {
  scenario(`${program} api-resources, explain, get nodes and get -A`, async (cluster) => {
    const ok = program === "kubectl" ? cluster.kubectlOk : cluster.tsctlOk;
    const resources = await ok(["api-resources"]);
    for (const expected of [
      /pods +po +v1 +true +Pod/,
      /nodes +no +v1 +false +Node/,
      /configmaps +cm /,
      /leases +coordination\.k8s\.io\/v1/,
    ])
      assert.match(resources, expected);
    assert.match(await ok(["explain", "pod.spec.containers.imagePullPolicy"]), /imagePullPolicy/);
    assert.match(await ok(["explain", "pods"]), /VERSION: +v1[\s\S]*spec/);
    const nodes = await ok(["get", "nodes"]);
    for (const node of ["node-1", "node-2", "node-3"]) assert.match(nodes, new RegExp(`${node} +Ready `));
    assert.match(await ok(["get", "nodes", "-o", "wide"]), /tessera:\/\//);
    assert.match(await ok(["describe", "node", "node-1"]), /Capacity:[\s\S]*pods: +110/);
    await cluster.apply(shellPod("everywhere", "exec sleep 1000"));
    await cluster.waitReady("everywhere");
    assert.match(await ok(["get", "pods", "-A"]), new RegExp(`${cluster.namespace} +everywhere`));
    assert.match(await ok(["get", "pods", "-o", "json"]), /"kind": "List"|"kind": "PodList"/);
  });
}

scenario("a patch, a label, an annotation and an edit reach the object", async (cluster) => {
  await cluster.apply({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" }, data: { a: "1", b: "2" } });
  await cluster.kubectlOk(["patch", "configmap", "c", "-p", '{"data":{"a":"3"}}']);
  await cluster.kubectlOk(["patch", "configmap", "c", "--type=json", "-p", '[{"op":"remove","path":"/data/b"}]']);
  await cluster.kubectlOk(["patch", "configmap", "c", "--type=merge", "-p", '{"data":{"c":"4"}}']);
  await cluster.kubectlOk(["label", "configmap", "c", "tier=front"]);
  await cluster.kubectlOk(["annotate", "configmap", "c", "note=kept"]);
  await cluster.kubectlOk(["edit", "configmap", "c"], { env: { KUBE_EDITOR: "sed -i s/front/back/" } });
  assert.equal(
    await cluster.kubectlOk([
      "get",
      "configmap",
      "c",
      "-o",
      "jsonpath={.data.a}{.data.b}{.data.c}{.metadata.labels.tier}{.metadata.annotations.note}",
    ]),
    "34backkept",
  );
});

scenario("a List is applied item by item", async (cluster) => {
  const map = (name: string) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { a: "1" } });
  const list = { apiVersion: "v1", kind: "List", items: [map("one"), map("two")] };
  for (const verdict of ["created", "unchanged"]) {
    const output = await cluster.kubectlOk(["apply", "-f", "-"], { input: JSON.stringify(list) });
    assert.equal(output, `configmap/one ${verdict}\nconfigmap/two ${verdict}\n`);
  }
});

scenario("an update of an old version is a conflict, not a lost change", async (cluster) => {
  await cluster.apply({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" }, data: { a: "1" } });
  const old = await cluster.kubectlOk(["get", "configmap", "c", "-o", "json"]);
  await cluster.kubectlOk(["patch", "configmap", "c", "-p", '{"data":{"a":"2"}}']);
  const late = await cluster.kubectl(["replace", "-f", "-"], { input: old });
  assert.match(late.stderr, /Conflict|the object has been modified/);
  assert.equal(await cluster.kubectlOk(["get", "configmap", "c", "-o", "jsonpath={.data.a}"]), "2");
});

scenario("deleting a namespace deletes what is in it", async (cluster) => {
  const inner = `${cluster.namespace}-inner`;
  await cluster.kubectlOk(["create", "namespace", inner]);
  await cluster.kubectlOk(["-n", inner, "apply", "-f", "-"], { input: JSON.stringify(shellPod("gone", "exec sleep 1000")) });
  await cluster.kubectlOk(["-n", inner, "wait", "--for=condition=Ready", "pod/gone", "--timeout=30s"]);
  await cluster.kubectlOk(["delete", "namespace", inner, "--timeout=30s"]);
  assert.match((await cluster.kubectl(["get", "namespace", inner])).stderr, /not found/);
});
