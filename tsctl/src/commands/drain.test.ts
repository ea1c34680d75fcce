import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "@tessera/proto";
import { sortPods } from "../drain/sort-pods.ts";
import { FakeServer, status } from "../testing/fake-server.ts";
import { runTsctl } from "../testing/run.ts";

const pod = (name: string, more: Partial<Pod> = {}): Pod => ({
  ...more,
  metadata: { name, namespace: "shop", uid: `uid-${name}`, ...more.metadata },
});
const ownedBy = (kind: string): Partial<Pod> => ({
  metadata: { ownerReferences: [{ kind, name: "x", uid: "u", apiVersion: "apps/v1", controller: true }] },
});
const withData: Partial<Pod> = { spec: { volumes: [{ name: "v", emptyDir: {} }] } };
const nothing = { force: false, ignoreDaemonSets: false, deleteEmptyDirData: false };

describe("which pods leave a drained node", () => {
  for (const [what, one, allowed, leaves, words] of [
    ["one of a controller", pod("a", ownedBy("ReplicaSet")), {}, true, undefined],
    [
      "one that nobody would make again",
      pod("a"),
      {},
      false,
      "cannot delete Pods that declare no controller (use --force to override): shop/a",
    ],
    ["such one, by force", pod("a"), { force: true }, true, "deleting Pods that declare no controller: shop/a"],
    ["one that has ended", pod("a", { status: { phase: "Succeeded" }, ...withData }), {}, true, undefined],
    [
      "one of a DaemonSet",
      pod("a", ownedBy("DaemonSet")),
      { force: true },
      false,
      "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): shop/a",
    ],
    ["such one, ignored", pod("a", ownedBy("DaemonSet")), { ignoreDaemonSets: true }, false, "ignoring DaemonSet-managed Pods: shop/a"],
    [
      "one with data",
      pod("a", withData),
      { force: true },
      false,
      "cannot delete Pods with local storage (use --delete-emptydir-data to override): shop/a",
    ],
    [
      "such one, allowed",
      pod("a", withData),
      { force: true, deleteEmptyDirData: true },
      true,
      "deleting Pods that declare no controller: shop/a",
    ],
    ["a mirror", pod("a", { metadata: { annotations: { "kubernetes.io/config.mirror": "x" } } }), {}, false, undefined],
  ] as const) {
    it(what, () => {
      const sorted = sortPods([one], { ...nothing, ...allowed });
      assert.deepEqual([sorted.leaving.length === 1, [...sorted.warnings, ...sorted.faults][0]], [leaves, words]);
    });
  }
});

describe("drain and cordon", () => {
  const node = { metadata: { name: "n" } };
  const eviction = "/api/v1/namespaces/shop/pods/a/eviction";

  async function serve(...pods: Pod[]): Promise<FakeServer> {
    const server = await FakeServer.start();
    server.on("GET /api/v1/nodes/n", { body: node }).on("PATCH /api/v1/nodes/n", { body: node });
    return server.on("GET /api/v1/pods", { body: { items: pods } }).on("GET /api/v1/namespaces/shop/pods", { body: { items: [] } });
  }

  it("evict pods with their uid and grace period, and wait until they are gone", async () => {
    await using server = await serve(pod("a", ownedBy("Job")));
    server.on(`POST ${eviction}`, { status: 201, body: { kind: "Status", status: "Success" } });
    const { code, stdout } = await runTsctl(["drain", "n", "--grace-period=3"], { server });
    assert.deepEqual([code, stdout], [0, "node/n cordoned\nevicting pod shop/a\npod/a evicted\nnode/n drained\n"]);
    const body = JSON.parse(server.asked("POST")[0]?.body ?? "");
    assert.deepEqual(body.deleteOptions, { gracePeriodSeconds: 3, preconditions: { uid: "uid-a" } });
    assert.equal(
      server
        .asked("GET")
        .find(({ path }) => path === "/api/v1/pods")
        ?.query.get("fieldSelector"),
      "spec.nodeName=n",
    );
  });

  it("touch no pod when one of them may not go", async () => {
    await using server = await serve(pod("a"), pod("b", ownedBy("Job")));
    const { code, stdout, stderr } = await runTsctl(["drain", "n"], { server });
    assert.deepEqual([code, stdout, server.asked("POST").length], [1, "node/n cordoned\n", 0]);
    assert.match(
      stderr,
      /unable to drain node "n":\n {2}cannot delete Pods that declare no controller[\s\S]*pending nodes to be drained:\n n\n$/,
    );
  });

  it("give up a pod whose budget does not let it go before the timeout", async () => {
    await using server = await serve(pod("a", ownedBy("Job")));
    server.on(`POST ${eviction}`, async (_request, response) => {
      await new Promise((resume) => setTimeout(resume, 20));
      response.writeHead(429).end(JSON.stringify(status("TooManyRequests", "the budget does not allow it")));
    });
    const { code, stderr } = await runTsctl(["drain", "n", "--timeout=1ms"], { server });
    assert.equal(code, 1);
    assert.match(stderr, /shop\/a: the budget does not allow it/);
  });

  it("take a pod that is gone already for gone, and change nothing in a dry run", async () => {
    await using server = await serve(pod("a"));
    assert.match((await runTsctl(["drain", "n", "--force"], { server })).stdout, /pod\/a evicted\nnode\/n drained\n$/);
    const before = server.asked("POST").length;
    const { stdout } = await runTsctl(["drain", "n", "--force", "--dry-run=client"], { server });
    assert.match(stdout, /^node\/n cordoned \(dry run\)\nevicting pod shop\/a \(dry run\)\nnode\/n drained \(dry run\)\n$/);
    assert.equal(server.asked("POST").length, before);
  });

  it("refuse a line without a node, and a node that is not there", async () => {
    await using server = await serve();
    for (const verb of ["cordon", "uncordon", "drain"]) {
      assert.match((await runTsctl([verb], { server })).stderr, new RegExp(`say which node to ${verb}`));
      assert.match((await runTsctl([verb, "z"], { server })).stderr, /nodes "z" not found/);
    }
    assert.match((await runTsctl(["drain", "n", "--timeout=soon"], { server })).stderr, /--timeout "soon" is not a duration/);
    assert.equal(server.asked("PATCH").length, 0);
  });
});
