import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Node } from "@tessera/proto";
import { podNamed } from "./testing/objects.ts";
import { startTestApi, type TestApi } from "./testing/test-api.ts";

const pods = "/api/v1/namespaces/default/pods";

let api: TestApi;
before(async () => {
  api = await startTestApi({ schedules: true });
  const allocatable = { cpu: "1", memory: "1Gi", pods: "110" };
  await api.http.post("/api/v1/nodes", nodeNamed("small", { status: { allocatable, capacity: allocatable } }));
  await api.http.post(
    "/api/v1/nodes",
    nodeNamed("tainted", { spec: { taints: [{ key: "gpu", value: "yes", effect: "NoSchedule" }] }, status: { allocatable } }),
  );
  await api.http.post("/api/v1/nodes", nodeNamed("closed", { spec: { unschedulable: true }, status: { allocatable } }));
});
after(() => api[Symbol.asyncDispose]());

const nodeNamed = (name: string, parts: Partial<Node>): Node => ({ apiVersion: "v1", kind: "Node", metadata: { name }, ...parts });

/** The answer once it says `state`. */
async function schedulingOf(name: string, state: string) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const { status, json } = await api.http.get(`${pods}/${name}/scheduling`);
    assert.equal(status, 200);
    if (json.status.state === state) return json;
    assert.ok(Date.now() < deadline, `${JSON.stringify(json)} instead of ${state}`);
  }
}

test("a pod that fits nowhere lists each node with its reasons", async () => {
  const large = podNamed("large", { containers: [{ name: "web", image: "web:1", resources: { requests: { cpu: "2", memory: "4Gi" } } }] });
  const { json: created } = await api.http.post(pods, large);
  const answer = await schedulingOf("large", "Unschedulable");
  assert.equal(answer.kind, "PodScheduling");
  assert.equal(answer.apiVersion, "tessera.dev/v1");
  assert.deepEqual(answer.metadata, { name: "large", namespace: "default", uid: created.metadata.uid });
  assert.deepEqual(
    answer.status.nodes.map(({ name, reasons }: { name: string; reasons: string[] }) => [name, reasons]),
    [
      ["closed", ["node(s) were unschedulable"]],
      ["small", ["Insufficient cpu", "Insufficient memory"]],
      ["tainted", ["node(s) had untolerated taint {gpu: yes}"]],
    ],
  );
  assert.match(answer.status.message, /^0\/3 nodes are available: .*1 Insufficient cpu, 1 Insufficient memory/);
});

test("a pod that has a node, and one that its gates hold back, have no reasons", async () => {
  await api.http.post(pods, podNamed("fits"));
  const fits = await schedulingOf("fits", "Scheduled");
  assert.deepEqual(fits.status, { state: "Scheduled", nodeName: "small", nodes: [] });
  await api.http.post(pods, podNamed("gated", { schedulingGates: [{ name: "example.com/later" }] }));
  assert.deepEqual((await schedulingOf("gated", "Gated")).status, { state: "Gated", nodes: [] });
  await api.http.post(pods, podNamed("other", { schedulerName: "somebody-else" }));
  assert.deepEqual((await schedulingOf("other", "Waiting")).status, { state: "Waiting", nodes: [] });
});

test("reasons can be read and nothing else, and discovery says so", async () => {
  assert.equal((await api.http.get(`${pods}/missing/scheduling`)).json.reason, "NotFound");
  assert.equal((await api.http.post(`${pods}/large/scheduling`, {})).status, 405);
  const { json } = await api.http.get("/api/v1");
  const found = json.resources.find(({ name }: { name: string }) => name === "pods/scheduling");
  assert.deepEqual(found, {
    name: "pods/scheduling",
    singularName: "",
    namespaced: true,
    group: "tessera.dev",
    version: "v1",
    kind: "PodScheduling",
    verbs: ["get"],
  });
});
