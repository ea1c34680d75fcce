import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import type { NodeMetrics, NodeMetricsList, PodMetrics, PodMetricsList, Status } from "@tessera/proto";
import { container, report, usage } from "../usage/testing/reports.ts";
import { startTestApi, type TestApi } from "./testing/test-api.ts";

const base = "/apis/metrics.k8s.io/v1beta1";

let api: TestApi;
const uids = new Map<string, string>();

async function createPod(namespace: string, name: string, nodeName: string, labels: Record<string, string>): Promise<void> {
  const pod = await api.registry.pods.create({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name, labels },
    spec: { nodeName, containers: [{ name: "web", image: "i" }] },
  });
  uids.set(name, pod.metadata?.uid ?? "");
}

before(async () => {
  api = await startTestApi();
  for (const name of ["node-1", "node-2"]) {
    await api.registry.nodes.create({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name, labels: { zone: name === "node-1" ? "a" : "b" } },
      status: { capacity: { cpu: "4", memory: "1Gi" }, allocatable: { cpu: "4", memory: "1Gi" } },
    });
  }
  await api.registry.namespaces.create({ apiVersion: "v1", kind: "Namespace", metadata: { name: "other" } });
  await createPod("default", "busy", "node-1", { app: "busy" });
  await createPod("default", "idle", "node-1", { app: "idle" });
  await createPod("other", "far", "node-2", { app: "busy" });
  await createPod("default", "silent", "node-2", {});
  const { pods } = api.registry;
  await pods.cache.waitFor(await api.store.currentRevision());
});
after(() => api[Symbol.asyncDispose]());

/** Two reports of each node, ten seconds apart. */
beforeEach(() => {
  const uid = (name: string) => uids.get(name) ?? "";
  for (const second of [0, 10]) {
    api.usage.take(
      "node-1",
      report(usage(100 + second, 2 * second, 512), {
        [uid("busy")]: [container("web", usage(100 + second, second / 2, 20)), container("side", usage(100 + second, second / 10, 4))],
        [uid("idle")]: [container("web", usage(100 + second, 0, 1))],
        // Not its pod.
        [uid("silent")]: [container("web", usage(100 + second, second, 1))],
      }),
    );
    api.usage.take(
      "node-2",
      report(usage(50 + second, second, 256), { [uid("far")]: [container("web", usage(50 + second, second / 4, 8))] }),
    );
  }
});

async function list<T>(path: string): Promise<T> {
  const answer = await api.http.get(`${base}/${path}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json as T;
}
const names = (metrics: PodMetricsList | NodeMetricsList) => metrics.items?.map((item) => item.metadata?.name);

describe("metrics.k8s.io", () => {
  test("a NodeMetrics says what the node used between its last two reports", async () => {
    const { metadata, timestamp, ...rest } = await list<NodeMetrics>("nodes/node-1");
    assert.deepEqual(rest, {
      apiVersion: "metrics.k8s.io/v1beta1",
      kind: "NodeMetrics",
      window: "10s",
      usage: { cpu: "2", memory: "512Mi" },
    });
    assert.deepEqual([metadata?.name, metadata?.namespace, metadata?.labels], ["node-1", undefined, { zone: "a" }]);
    assert.ok(Math.abs(Date.parse(timestamp ?? "") - Date.now()) < 60_000);
  });

  test("a PodMetrics has an entry per container", async () => {
    const { metadata, containers, window, kind } = await list<PodMetrics>("namespaces/default/pods/busy");
    assert.deepEqual([kind, window, metadata?.namespace, metadata?.labels], ["PodMetrics", "10s", "default", { app: "busy" }]);
    assert.deepEqual(containers, [
      { name: "web", usage: { cpu: "500m", memory: "20Mi" } },
      { name: "side", usage: { cpu: "100m", memory: "4Mi" } },
    ]);
  });

  test("lists are by namespace, of all, and by label", async () => {
    const all = await list<PodMetricsList>("pods");
    assert.deepEqual([all.kind, all.apiVersion], ["PodMetricsList", "metrics.k8s.io/v1beta1"]);
    assert.deepEqual(names(all), ["busy", "idle", "far"]);
    assert.deepEqual(names(await list("namespaces/default/pods")), ["busy", "idle"]);
    assert.deepEqual(names(await list("pods?labelSelector=app%3Dbusy")), ["busy", "far"]);
    assert.deepEqual(names(await list("pods?fieldSelector=metadata.name%3Didle")), ["idle"]);
    assert.deepEqual(names(await list("nodes?labelSelector=zone%3Db")), ["node-2"]);
  });

  test("what nobody has reported is not found, and says why", async () => {
    for (const [path, message] of [
      ["namespaces/default/pods/silent", 'pods.metrics.k8s.io "silent" not found: nothing was reported of it of late, or only once'],
      ["namespaces/default/pods/nobody", 'pods.metrics.k8s.io "nobody" not found'],
      ["nodes/nobody", 'nodes.metrics.k8s.io "nobody" not found'],
    ]) {
      const answer = await api.http.get(`${base}/${path}`);
      const { reason, message: said } = answer.json as Status;
      assert.deepEqual([answer.status, reason, said], [404, "NotFound", message]);
    }
  });

  test("can neither be watched nor written", async () => {
    for (const answer of [await api.http.get(`${base}/pods?watch=true`), await api.http.send("DELETE", `${base}/nodes/node-1`)]) {
      assert.deepEqual([answer.status, (answer.json as Status).reason], [405, "MethodNotAllowed"]);
    }
  });
});

describe("kubectl top", () => {
  async function kubectl(...args: string[]): Promise<string[][]> {
    const { code, stdout, stderr } = await api.kubectl(args);
    assert.equal(code, 0, stderr);
    return stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.trim().split(/ {2,}/));
  }

  test("node shows use and share of what is allocatable", async () => {
    assert.deepEqual(await kubectl("top", "node"), [
      ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"],
      ["node-1", "2000m", "50%", "512Mi", "50%"],
      ["node-2", "1000m", "25%", "256Mi", "25%"],
    ]);
    assert.deepEqual((await kubectl("top", "node", "node-2", "--no-headers"))[0]?.slice(0, 2), ["node-2", "1000m"]);
  });

  test("pod adds up containers, or shows each", async () => {
    assert.deepEqual(await kubectl("top", "pod", "--sort-by=cpu"), [
      ["NAME", "CPU(cores)", "MEMORY(bytes)"],
      ["busy", "600m", "24Mi"],
      ["idle", "0m", "1Mi"],
    ]);
    assert.deepEqual(await kubectl("top", "pod", "busy", "--containers", "--sort-by=memory"), [
      ["POD", "NAME", "CPU(cores)", "MEMORY(bytes)"],
      ["busy", "web", "500m", "20Mi"],
      ["busy", "side", "100m", "4Mi"],
    ]);
    assert.deepEqual(await kubectl("top", "pod", "-A", "--sort-by=memory", "--no-headers"), [
      ["default", "busy", "600m", "24Mi"],
      ["other", "far", "250m", "8Mi"],
      ["default", "idle", "0m", "1Mi"],
    ]);
    assert.deepEqual(await kubectl("top", "pod", "-l", "app=idle", "--no-headers"), [["idle", "0m", "1Mi"]]);
  });

  test("get podmetrics, explain and api-resources know them too", async () => {
    assert.deepEqual(await kubectl("get", "podmetrics", "idle"), [
      ["NAME", "CPU", "MEMORY", "WINDOW"],
      ["idle", "0m", "1024Ki", "10s"],
    ]);
    assert.match(JSON.stringify(await kubectl("explain", "nodemetrics.usage")), /cpu.* in cores/);
    assert.match(JSON.stringify(await kubectl("api-resources", "--api-group=metrics.k8s.io", "-o", "wide")), /PodMetrics.*get,list/);
    // The short words still mean the things themselves.
    assert.deepEqual((await kubectl("get", "nodes", "--no-headers", "-o", "name")).flat(), ["node/node-1", "node/node-2"]);
  });
});

describe("/metrics", () => {
  const value = (text: string, series: string) =>
    text
      .split("\n")
      .find((line) => line.startsWith(`${series} `))
      ?.split(" ")[1];

  test("counts requests by verb, resource and code, and times those that end", async () => {
    const read = async () => (await api.http.get("/metrics")).text;
    const series = 'tessera_api_requests_total{verb="get",resource="pods/status",code="404"}';
    const before = Number(value(await read(), series) ?? 0);
    await api.http.get("/api/v1/namespaces/default/pods/nobody/status");
    const text = await read();
    assert.equal(Number(value(text, series)), before + 1);
    assert.ok(Number(value(text, 'tessera_api_request_duration_seconds_count{verb="get",resource="pods/status"}')) >= 1);
    assert.equal(value(text, 'tessera_store_objects{resource="pods"}'), "4");
    assert.ok(Number(value(text, "tessera_store_revision")) > 1);
    assert.equal(value(text, "tessera_node_sessions"), "3");
    assert.equal(value(text, "tessera_usage_nodes"), "2");
    assert.ok(Number(value(text, "process_resident_memory_bytes")) > 1_000_000);
  });

  test("shows the watches that are open, and not as a duration", async () => {
    const open = async () =>
      Number(value((await api.http.get("/metrics")).text, 'tessera_api_open_requests{verb="watch",resource="secrets"}') ?? 0);
    const watch = await api.http.watch("/api/v1/secrets?watch=true");
    const until = async (count: number) => {
      for (const deadline = Date.now() + 10_000; (await open()) !== count; ) assert.ok(Date.now() < deadline, `not ${count} open watches`);
    };
    await until(1);
    watch[Symbol.dispose]();
    await until(0);
    assert.equal(
      value((await api.http.get("/metrics")).text, 'tessera_api_request_duration_seconds_count{verb="watch",resource="secrets"}'),
      undefined,
    );
  });

  test("is in the form of Prometheus, and for authenticated users only", async () => {
    const answer = await api.http.get("/metrics");
    assert.match(String(answer.headers["content-type"]), /^text\/plain; version=0\.0\.4/);
    assert.equal((await api.client().get("/metrics")).status, 401);
    assert.equal((await api.http.send("POST", "/metrics")).status, 405);
  });
});
