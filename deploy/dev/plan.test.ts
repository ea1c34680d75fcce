import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Cluster } from "./cluster-file.ts";
import { parseBlock } from "./ipv4.ts";
import { checkName, growCluster, homeMark, planCluster, type Taken, type Wish } from "./plan.ts";

const wish = (name: string, nodes = 3): Wish => ({
  name,
  nodes,
  home: "/var/lib/tessera-dev",
  kubeconfig: "/root/.kube/config",
  mtu: 1500,
  createdAt: "2026-11-21T00:00:00.000Z",
});

const taken = (changes: { routes?: string[]; links?: string[]; ports?: number[]; clusters?: Cluster[] } = {}): Taken => ({
  routes: (changes.routes ?? []).map((route) => {
    const block = parseBlock(route);
    assert.ok(block);
    return block;
  }),
  links: new Set(changes.links),
  ports: new Set(changes.ports),
  clusters: changes.clusters ?? [],
});

describe("the plan of a cluster", () => {
  it("names everything that the cluster will be made of", () => {
    const cluster = planCluster(wish("dev"), taken());
    assert.equal(cluster.subnet, "172.28.0.0/24");
    assert.equal(cluster.gateway, "172.28.0.1");
    assert.deepEqual(
      cluster.nodes.map((node) => [node.name, node.address, node.link]),
      [1, 2, 3].map((n) => [`node-${n}`, `172.28.0.${n + 1}`, `tsd-${cluster.id}-${n}`]),
    );
    assert.match(cluster.id, new RegExp(`^${homeMark("/var/lib/tessera-dev")}[0-9a-f]{3}$`));
    assert.equal(new Set([cluster.apiPort, cluster.nodePort]).size, 2);
  });

  it("has link names that the kernel takes, up to the last node", () => {
    for (const node of planCluster(wish("dev", 50), taken()).nodes) assert.ok(node.link.length < 16, node.link);
  });

  it("shares nothing with a cluster beside it", () => {
    const first = planCluster(wish("a"), taken());
    const second = planCluster(wish("b"), taken({ clusters: [first] }));
    for (const field of ["id", "subnet", "bridge", "natTable", "cgroup", "apiPort", "nodePort"] as const) {
      assert.notEqual(first[field], second[field], field);
    }
    const ports = [first.apiPort, first.nodePort, second.apiPort, second.nodePort];
    assert.equal(new Set(ports).size, 4);
  });

  it("keeps clear of what the machine routes, wider and narrower, and of ports in use", () => {
    const cluster = planCluster(
      wish("dev"),
      taken({ routes: ["172.28.0.7", "172.28.1.0/24", "172.29.0.0/16", "10.64.3.0/24"], ports: [16443, 16445] }),
    );
    assert.equal(cluster.subnet, "172.28.2.0/24");
    assert.equal(cluster.podCidr, "10.65.0.0/16");
    assert.deepEqual([cluster.apiPort, cluster.nodePort], [16444, 16446]);
  });

  it("says so when no subnet is left", () => {
    assert.throws(() => planCluster(wish("dev"), taken({ routes: ["172.16.0.0/12"] })), {
      reason: "InternalError",
      message: /no free subnet/,
    });
  });

  it("takes another id when a link of that name is there", () => {
    const first = planCluster(wish("dev"), taken());
    assert.notEqual(planCluster(wish("dev"), taken({ links: [`tsd-${first.id}`] })).id, first.id);
  });

  it("grows by nodes and leaves the others as they are", () => {
    const three = planCluster(wish("dev"), taken());
    const five = growCluster(three, 5);
    assert.deepEqual(five.nodes.slice(0, 3), three.nodes);
    assert.deepEqual(five.nodes[4], { name: "node-5", address: "172.28.0.6", link: `tsd-${three.id}-5` });
  });

  it("refuses to shrink, and says what to do", () => {
    assert.throws(() => growCluster(planCluster(wish("dev"), taken()), 2), {
      reason: "BadRequest",
      message: /has 3 nodes.*tsctl dev down --name dev/,
    });
  });

  for (const count of [0, -1, 51, 1.5]) {
    it(`refuses ${count} nodes`, () =>
      assert.throws(() => planCluster(wish("dev", count), taken()), { reason: "BadRequest", message: /1 to 50 nodes/ }));
  }

  for (const name of ["", "-a", "a-", "A", "a/b", "..", "a b", "x".repeat(41)]) {
    it(`refuses the name "${name}"`, () =>
      assert.throws(() => checkName(name), { reason: "BadRequest", message: /cannot be the name of a cluster/ }));
  }
});
