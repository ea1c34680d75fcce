import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeServer } from "../testing/fake-server.ts";
import { runTsctl } from "../testing/run.ts";

const base = "/apis/metrics.k8s.io/v1beta1";
const lines = (stdout: string) =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.trim().split(/ {2,}/));

describe("top node", () => {
  const node = (name: string) => ({ metadata: { name }, status: { allocatable: { cpu: "2", memory: "1Gi" } } });
  const metrics = (name: string, cpu: string, memory: string) => ({ kind: "NodeMetrics", metadata: { name }, usage: { cpu, memory } });

  async function serve(): Promise<FakeServer> {
    const server = await FakeServer.start();
    server.on("GET /api/v1/nodes", { body: { items: [node("quiet"), node("a"), node("b")] } });
    return server.on(`GET ${base}/nodes`, { body: { items: [metrics("a", "250m", "512Mi"), metrics("b", "1999999999n", "300000Ki")] } });
  }

  it("shows use and share, the busiest first, and which nodes are silent", async () => {
    await using server = await serve();
    const { code, stdout, stderr } = await runTsctl(["top", "node"], { server });
    assert.deepEqual([code, stderr], [0, ""]);
    assert.deepEqual(lines(stdout), [
      ["NAME", "CPU", "CPU%", "MEMORY", "MEMORY%"],
      ["b", "2000m", "100%", "292Mi", "28%"],
      ["a", "250m", "12%", "512Mi", "50%"],
      ["quiet", "<unknown>", "<unknown>", "<unknown>", "<unknown>"],
    ]);
  });

  it("sorts by memory or name, and passes the selector on to both", async () => {
    await using server = await serve();
    const { stdout } = await runTsctl(["top", "nodes", "--sort-by=memory", "--no-headers", "-l", "zone=a"], { server });
    assert.deepEqual(
      lines(stdout).map(([name]) => name),
      ["a", "b", "quiet"],
    );
    assert.deepEqual(
      server.asked("GET").map(({ path, query }) => [path.split("/").at(-1), query.get("labelSelector")]),
      [
        ["nodes", "zone=a"],
        ["nodes", "zone=a"],
      ],
    );
  });

  it("shows one node, also a silent one, and tells one that is not there", async () => {
    await using server = await serve();
    server.on("GET /api/v1/nodes/a", { body: node("a") }).on(`GET ${base}/nodes/a`, { body: metrics("a", "1", "1Gi") });
    server.on("GET /api/v1/nodes/quiet", { body: node("quiet") });
    const one = await runTsctl(["top", "node", "a", "--no-headers"], { server });
    assert.deepEqual(lines(one.stdout), [["a", "1000m", "50%", "1024Mi", "100%"]]);
    const silent = await runTsctl(["top", "node", "quiet", "--no-headers"], { server });
    assert.match(silent.stdout, /^quiet +<unknown>/);
    const none = await runTsctl(["top", "node", "nope"], { server });
    assert.deepEqual([none.code, none.stderr.split("\n")[0]], [1, 'error: nodes "nope" not found']);
  });
});

describe("top pod", () => {
  const metrics = (namespace: string, name: string, ...containers: [string, string, string][]) => ({
    kind: "PodMetrics",
    metadata: { namespace, name },
    containers: containers.map(([container, cpu, memory]) => ({ name: container, usage: { cpu, memory } })),
  });
  const pods = [metrics("shop", "idle", ["web", "0", "30Mi"]), metrics("shop", "busy", ["web", "500m", "20Mi"], ["side", "1500u", "4Mi"])];

  it("adds up the containers of the namespace's pods, the busiest first", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${base}/namespaces/shop/pods`, { body: { items: pods } });
    const { code, stdout } = await runTsctl(["top", "pod", "--sum"], { server });
    assert.equal(code, 0);
    assert.deepEqual(lines(stdout), [
      ["NAME", "CPU", "MEMORY"],
      ["busy", "502m", "24Mi"],
      ["idle", "0m", "30Mi"],
      ["sum", "502m", "54Mi"],
    ]);
  });

  it("shows each container, of all namespaces, by memory", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${base}/pods`, { body: { items: pods } });
    const { stdout } = await runTsctl(["top", "po", "-A", "--containers", "--sort-by", "memory", "-l", "app"], { server });
    assert.deepEqual(lines(stdout), [
      ["NAMESPACE", "POD", "CONTAINER", "CPU", "MEMORY"],
      ["shop", "idle", "web", "0m", "30Mi"],
      ["shop", "busy", "web", "500m", "20Mi"],
      ["shop", "busy", "side", "2m", "4Mi"],
    ]);
    assert.equal(server.requests.at(-1)?.query.get("labelSelector"), "app");
  });

  it("shows one pod, and as JSON what the server says", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${base}/namespaces/shop/pods/busy`, { body: pods[1] });
    assert.deepEqual(lines((await runTsctl(["top", "pod", "busy", "--no-headers"], { server })).stdout), [["busy", "502m", "24Mi"]]);
    assert.deepEqual(JSON.parse((await runTsctl(["top", "pod", "busy", "-o", "json"], { server })).stdout), pods[1]);
  });

  it("says on stderr that nothing is known, and where it looked", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${base}/namespaces/shop/pods`, { body: { items: [] } });
    const { code, stdout, stderr } = await runTsctl(["top", "pod"], { server });
    assert.deepEqual([code, stdout], [0, ""]);
    assert.match(stderr, /Nothing is known of any pod's use in namespace "shop" \(-A shows all namespaces\)/);
  });
});

describe("top, told wrongly", () => {
  for (const [words, said] of [
    [["top", "pod", "a", "-A"], /a named pod is in one namespace/],
    [["top", "pod", "a", "-l", "app"], /a selector chooses among all pods/],
    [["top", "node", "a", "-l", "app"], /a selector chooses among all nodes/],
    [["top", "pod", "--sort-by", "size"], /--sort-by size is not known here; there are cpu, memory and name/],
  ] as const) {
    it(words.join(" "), async () => {
      const { code, stdout, stderr } = await runTsctl(words);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.match(stderr, said);
    });
  }
});
