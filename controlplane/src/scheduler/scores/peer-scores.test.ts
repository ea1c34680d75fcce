import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodAffinityTerm, TopologySpreadConstraint } from "@tessera/proto";
import { node, pod } from "../../controllers/testing/builders.ts";
import { BenchTable } from "../testing/bench-table.ts";
import { interPodAffinityScore } from "./inter-pod-affinity.ts";
import { podTopologySpreadScore } from "./pod-topology-spread.ts";

const web: PodAffinityTerm = { topologyKey: "zone", labelSelector: { matchLabels: { app: "web" } } };
const labelled = (name: string) => pod(name).label("app", "web");
const zones = () => new BenchTable([node("a1").label("zone", "a"), node("a2").label("zone", "a"), node("b").label("zone", "b"), node("c")]);

test("nodes near what the pod likes get 100 times the score's weight, those near what it dislikes nothing", () => {
  const table = zones().run(labelled("w"), "a1").run(pod("d").label("app", "db"), "b");
  assert.deepEqual(table.peerScores(interPodAffinityScore, pod("p").prefersNear(10, web)), { a1: 200, a2: 200, b: 0, c: 0 });
  const torn = pod("p")
    .prefersNear(10, web)
    .prefersAwayFrom(10, { ...web, labelSelector: { matchLabels: { app: "db" } } });
  assert.deepEqual(table.peerScores(interPodAffinityScore, torn), { a1: 200, a2: 200, b: 0, c: 100 });
});

test("each match counts, and weights add up", () => {
  const table = zones().run(labelled("w1"), "a1").run(labelled("w2"), "a2").run(labelled("w3"), "b");
  assert.deepEqual(table.peerScores(interPodAffinityScore, pod("p").prefersNear(7, web)), { a1: 200, a2: 200, b: 100, c: 0 });
});

test("pods that are there are heard as well: what they prefer by its weight, what they require by 1", () => {
  const fond = zones().run(pod("f").prefersNear(1, web), "b");
  assert.deepEqual(fond.peerScores(interPodAffinityScore, labelled("p")), { a1: 0, a2: 0, b: 200, c: 0 });
  const bound = zones().run(labelled("w"), "a1").run(pod("f").near(web), "a2");
  assert.deepEqual(bound.peerScores(interPodAffinityScore, labelled("p")), { a1: 200, a2: 200, b: 0, c: 0 });
  const shy = zones().run(pod("f").prefersAwayFrom(1, web), "b");
  assert.deepEqual(shy.peerScores(interPodAffinityScore, labelled("p")), { a1: 200, a2: 200, b: 0, c: 200 });
  assert.deepEqual(shy.peerScores(interPodAffinityScore, pod("p")), { a1: 0, a2: 0, b: 0, c: 0 }, "nobody speaks of this one");
});

const softly: TopologySpreadConstraint = {
  maxSkew: 1,
  topologyKey: "zone",
  whenUnsatisfiable: "ScheduleAnyway",
  labelSelector: { matchLabels: { app: "web" } },
};

test("the emptier the domain the better, and nodes without the label get nothing", () => {
  const table = zones().run(labelled("w1"), "a1").run(labelled("w2"), "a2");
  assert.deepEqual(table.peerScores(podTopologySpreadScore, labelled("p").spreads(softly)), { a1: 0, a2: 0, b: 200, c: 0 });
  assert.deepEqual(zones().peerScores(podTopologySpreadScore, labelled("p").spreads(softly)), { a1: 200, a2: 200, b: 200, c: 0 });
});

test("over nodes, each node's own pods count", () => {
  const table = zones().run(labelled("w1"), "a1").run(labelled("w2"), "a1").run(labelled("w3"), "b");
  const asking = labelled("p").spreads({ ...softly, topologyKey: "kubernetes.io/hostname" });
  // ln(4 + 2) times the pods, rounded: 4, 0, 2, 0.
  assert.deepEqual(table.peerScores(podTopologySpreadScore, asking), { a1: 0, a2: 200, b: 100, c: 200 });
});

test("a wider skew waters differences down", () => {
  const table = zones().run(labelled("w1"), "a1");
  // ln(2 + 2) = 1.39 and 8 on top for each: 9 in a, 8 in b.
  const asking = labelled("p").spreads({ ...softly, maxSkew: 9 });
  assert.deepEqual(table.peerScores(podTopologySpreadScore, asking), { a1: 178, a2: 178, b: 200, c: 0 });
});
