import assert from "node:assert/strict";
import { test } from "node:test";
import type { TopologySpreadConstraint } from "@tessera/proto";
import { node, type PodBuilder, pod } from "../../controllers/testing/builders.ts";
import { BenchTable } from "../testing/bench-table.ts";
import { podTopologySpread } from "./pod-topology-spread.ts";

const overZones: TopologySpreadConstraint = {
  maxSkew: 1,
  topologyKey: "zone",
  whenUnsatisfiable: "DoNotSchedule",
  labelSelector: { matchLabels: { app: "web" } },
};
const web = (name: string, namespace?: string) => pod(name, namespace).label("app", "web");
const asking = (change: TopologySpreadConstraint = {}) => web("p").spreads({ ...overZones, ...change });

/** Zones a (two nodes), b and c (tainted, with disk=ssd), and a node in no zone; and the number of pods that run on some nodes. */
function zones(counts: Readonly<Record<string, number>>, make: (name: string) => PodBuilder = web): BenchTable {
  const nodes = [
    node("a1").label("zone", "a"),
    node("a2").label("zone", "a"),
    node("b1").label("zone", "b"),
    node("c1").label("zone", "c").label("disk", "ssd").taint("t", "NoSchedule"),
    node("nowhere"),
  ];
  const table = new BenchTable(nodes);
  for (const [name, count] of Object.entries(counts)) for (let i = 0; i < count; i++) table.run(make(`${name}-${i}`), name);
  return table;
}

const cases: { says: string; table: BenchTable; asking: PodBuilder; allowed: string[] }[] = [
  { says: "an empty cluster takes it in any zone", table: zones({}), asking: asking(), allowed: ["a1", "a2", "b1", "c1"] },
  { says: "the emptiest zones come first", table: zones({ a1: 1, b1: 1 }), asking: asking(), allowed: ["c1"] },
  { says: "a zone is counted over its nodes", table: zones({ a1: 1, a2: 1, b1: 1, c1: 1 }), asking: asking(), allowed: ["b1", "c1"] },
  { says: "more skew, more room", table: zones({ a1: 1, b1: 1 }), asking: asking({ maxSkew: 2 }), allowed: ["a1", "a2", "b1", "c1"] },
  {
    says: "pods that end are not counted",
    table: zones({ a1: 2 }, (name) => web(name).leaving()),
    asking: asking(),
    allowed: ["a1", "a2", "b1", "c1"],
  },
  {
    says: "nor those of other namespaces",
    table: zones({ a1: 2 }, (name) => web(name, "x")),
    asking: asking(),
    allowed: ["a1", "a2", "b1", "c1"],
  },
  { says: "nor those on nodes without the label", table: zones({ nowhere: 3 }), asking: asking(), allowed: ["a1", "a2", "b1", "c1"] },
  {
    says: "a pod that its own selector leaves out adds nothing",
    table: zones({ a1: 1 }),
    asking: pod("p").spreads(overZones),
    allowed: ["a1", "a2", "b1", "c1"],
  },
  {
    says: "no selector counts no pod",
    table: zones({ a1: 3 }),
    asking: asking({ labelSelector: undefined }),
    allowed: ["a1", "a2", "b1", "c1"],
  },
  {
    says: "nor does an empty one, as in Kubernetes",
    table: zones({ a1: 3 }),
    asking: asking({ labelSelector: {} }),
    allowed: ["a1", "a2", "b1", "c1"],
  },
  {
    says: "too few domains count as if one were empty",
    table: zones({ a1: 1, b1: 1, c1: 1 }),
    asking: asking({ minDomains: 4 }),
    allowed: [],
  },
  {
    says: "enough domains are enough",
    table: zones({ a1: 1, b1: 1, c1: 1 }),
    asking: asking({ minDomains: 3 }),
    allowed: ["a1", "a2", "b1", "c1"],
  },
  {
    says: "domains that the node selector rules out do not count",
    table: zones({ c1: 3 }),
    asking: asking().selects("disk", "ssd"),
    allowed: ["a1", "a2", "b1", "c1"],
  },
  {
    says: "but do when nodeAffinityPolicy is Ignore",
    table: zones({ c1: 1 }),
    asking: asking({ nodeAffinityPolicy: "Ignore" }).selects("disk", "ssd"),
    allowed: ["a1", "a2", "b1"],
  },
  { says: "tainted nodes count by default", table: zones({ a1: 1, b1: 1 }), asking: asking(), allowed: ["c1"] },
  {
    says: "and do not when nodeTaintsPolicy is Honor",
    table: zones({ a1: 1, b1: 1 }),
    asking: asking({ nodeTaintsPolicy: "Honor" }),
    allowed: ["a1", "a2", "b1", "c1"],
  },
  {
    says: "unless they are tolerated",
    table: zones({ a1: 1, b1: 1 }),
    asking: asking({ nodeTaintsPolicy: "Honor" }).tolerates("t"),
    allowed: ["c1"],
  },
  {
    says: "all constraints must hold, on nodes that have all labels",
    table: zones({ a1: 1, b1: 1, c1: 1 }),
    asking: asking().spreads({ ...overZones, topologyKey: "kubernetes.io/hostname" }),
    allowed: ["a2"],
  },
  {
    says: "ScheduleAnyway refuses nobody",
    table: zones({ a1: 5 }),
    asking: asking({ whenUnsatisfiable: "ScheduleAnyway" }),
    allowed: ["a1", "a2", "b1", "c1", "nowhere"],
  },
];
for (const { says, table, asking, allowed } of cases) {
  test(`spreading: ${says}`, () => assert.deepEqual(table.allowed(podTopologySpread, asking), allowed));
}

test("a node says how full its domain would be, and what is allowed", () => {
  const table = zones({ a1: 1, b1: 2 });
  assert.equal(
    table.place(asking()),
    "0/5 nodes are available: 1 node(s) had untolerated taint {t: }, 1 spread over zone: would be 3 in b, at most 1 allowed, " +
      "1 spread: the node has no label zone, 2 spread over zone: would be 2 in a, at most 1 allowed.",
  );
});
