import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodAffinityTerm } from "@tessera/proto";
import { node, type PodBuilder, pod } from "../../controllers/testing/builders.ts";
import { BenchTable } from "../testing/bench-table.ts";
import { interPodAffinity } from "./inter-pod-affinity.ts";

const web: PodAffinityTerm = { topologyKey: "zone", labelSelector: { matchLabels: { app: "web" } } };
const perNode: PodAffinityTerm = { ...web, topologyKey: "kubernetes.io/hostname" };
const labelled = (name: string, namespace?: string) => pod(name, namespace).label("app", "web");
const all = ["a1", "a2", "b1", "nowhere"];

/** Zones a (two nodes) and b, and a node in no zone; what runs where: `{ a1: pod }`. */
function zones(running: Readonly<Record<string, PodBuilder>> = {}): BenchTable {
  const nodes = [node("a1").label("zone", "a"), node("a2").label("zone", "a"), node("b1").label("zone", "b"), node("nowhere")];
  const table = new BenchTable(nodes);
  for (const [name, builder] of Object.entries(running)) table.run(builder, name);
  return table;
}

const cases: { says: string; running?: Record<string, PodBuilder>; asking: PodBuilder; allowed: string[] }[] = [
  { says: "a pod without rules goes anywhere", running: { a1: labelled("w") }, asking: pod("p"), allowed: all },
  { says: "affinity wants the domain of a match", running: { a1: labelled("w") }, asking: pod("p").near(web), allowed: ["a1", "a2"] },
  { says: "affinity per node wants the very node", running: { a1: labelled("w") }, asking: pod("p").near(perNode), allowed: ["a1"] },
  { says: "without a match there is no place", asking: pod("p").near(web), allowed: [] },
  {
    says: "the first of a group that wants to be together may start, where the label is",
    asking: labelled("p").near(web),
    allowed: ["a1", "a2", "b1"],
  },
  { says: "the second joins it", running: { b1: labelled("w") }, asking: labelled("p").near(web), allowed: ["b1"] },
  {
    says: "a match on a node without the label is as good as none for the first",
    running: { nowhere: labelled("w") },
    asking: labelled("p").near(web),
    allowed: ["a1", "a2", "b1"],
  },
  {
    says: "one pod must match all terms",
    running: { a1: labelled("w"), b1: labelled("v").label("tier", "front") },
    asking: pod("p")
      .near(web)
      .near({ ...perNode, labelSelector: { matchLabels: { tier: "front" } } }),
    allowed: ["b1"],
  },
  {
    says: "two pods that match one term each are not enough",
    running: { a1: labelled("w"), b1: pod("v").label("tier", "front") },
    asking: pod("p")
      .near(web)
      .near({ ...web, labelSelector: { matchLabels: { tier: "front" } } }),
    allowed: [],
  },
  {
    says: "anti-affinity leaves the other domains, and nodes in none",
    running: { a1: labelled("w") },
    asking: pod("p").awayFrom(web),
    allowed: ["b1", "nowhere"],
  },
  { says: "anti-affinity per node", running: { a1: labelled("w") }, asking: pod("p").awayFrom(perNode), allowed: ["a2", "b1", "nowhere"] },
  { says: "who wants to be alone stays so", running: { a1: pod("w").awayFrom(web) }, asking: labelled("p"), allowed: ["b1", "nowhere"] },
  { says: "and does not mind others", running: { a1: pod("w").awayFrom(web) }, asking: pod("p").label("app", "db"), allowed: all },
  {
    says: "pods that end count for as long as they are there",
    running: { a1: labelled("w").leaving() },
    asking: pod("p").awayFrom(web),
    allowed: ["b1", "nowhere"],
  },
  { says: "another namespace is not meant", running: { a1: labelled("w", "other") }, asking: pod("p").awayFrom(web), allowed: all },
  {
    says: "a namespace that is named is meant",
    running: { a1: labelled("w", "other"), b1: labelled("v") },
    asking: pod("p").awayFrom({ ...web, namespaces: ["other"] }),
    allowed: ["b1", "nowhere"],
  },
  {
    says: "an empty namespace selector means all",
    running: { a1: labelled("w", "other"), b1: labelled("v") },
    asking: pod("p").awayFrom({ ...web, namespaceSelector: {} }),
    allowed: ["nowhere"],
  },
  {
    says: "a namespace selector means those with the labels, not the own one",
    running: { a1: labelled("w", "team"), b1: labelled("v") },
    asking: pod("p").awayFrom({ ...web, namespaceSelector: { matchLabels: { of: "us" } } }),
    allowed: ["b1", "nowhere"],
  },
  {
    says: "named and selected namespaces add up",
    running: { a1: labelled("w", "team"), b1: labelled("v") },
    asking: pod("p").awayFrom({ ...web, namespaces: ["default"], namespaceSelector: { matchLabels: { of: "us" } } }),
    allowed: ["nowhere"],
  },
  { says: "no selector matches no pod", running: { a1: labelled("w") }, asking: pod("p").awayFrom({ topologyKey: "zone" }), allowed: all },
  {
    says: "an empty selector matches every pod",
    running: { a1: pod("w") },
    asking: pod("p").awayFrom({ topologyKey: "zone", labelSelector: {} }),
    allowed: ["b1", "nowhere"],
  },
  {
    says: "preferences refuse nobody",
    running: { a1: labelled("w").prefersAwayFrom(100, web) },
    asking: labelled("p").prefersAwayFrom(100, web).prefersNear(100, web),
    allowed: all,
  },
];
for (const { says, running, asking, allowed } of cases) {
  test(`pods near pods: ${says}`, () => {
    const table = zones(running);
    table.nodes.peers.setNamespace("team", { of: "us" });
    assert.deepEqual(table.allowed(interPodAffinity, asking), allowed);
  });
}

test("a node says which pod is in the way, and whose wish it is", () => {
  const own = zones({ a1: labelled("w"), b1: labelled("v") }).cordon("nowhere");
  assert.equal(
    own.place(pod("p").awayFrom(web)),
    "0/4 nodes are available: 1 node(s) were unschedulable, 1 pod anti-affinity with default/v over zone, 2 pod anti-affinity with default/w over zone.",
  );
  const theirs = new BenchTable([node("a1").label("zone", "a")]).run(pod("w").awayFrom(web), "a1");
  assert.equal(theirs.place(labelled("p")), "0/1 nodes are available: 1 pod anti-affinity of default/w over zone.");
});

test("affinity says what is missing where", () => {
  assert.equal(
    zones({ nowhere: pod("w") }).place(pod("p").near(web)),
    "0/4 nodes are available: 1 pod affinity over zone: no pod that it wants to be near is in b, " +
      "1 pod affinity: the node has no label zone, 2 pod affinity over zone: no pod that it wants to be near is in a.",
  );
});

test("reasons of many nodes are summed up", () => {
  const names = ["n1", "n2", "n3", "n4", "n5"];
  const table = new BenchTable(names.map(node));
  for (const name of names) table.run(labelled(`web-${name}`), name);
  const message = "0/5 nodes are available: 5 pod anti-affinity with other pods over kubernetes.io/hostname.";
  assert.equal(table.place(pod("p").awayFrom(perNode)), message);
});
