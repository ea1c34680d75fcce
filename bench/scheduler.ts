/** Decisions of the scheduler alone, without store and writes: pods placed a second on empty clusters of two sizes. */
import type { Node, PodSpec } from "@tessera/proto";
import { NodeRow, NodeTable } from "../controlplane/src/scheduler/node-table.ts";
import { Placer } from "../controlplane/src/scheduler/placer.ts";
import { ShapeCatalog } from "../controlplane/src/scheduler/pod-shape.ts";
import { defaultPolicy } from "../controlplane/src/scheduler/policy.ts";
import { type Figure, summarize } from "./figure.ts";

const PODS = 10_000;
const ROUNDS = 7;
/** Different templates, so that kept verdicts are shared as in a real cluster. */
const TEMPLATES = 50;

export async function benchScheduler(print: (figure: Figure) => void): Promise<void> {
  for (const nodeCount of [1_000, 5_000]) {
    const rates: number[] = [];
    for (let round = -1; round < ROUNDS; round++) {
      const rate = placeAll(nodeCount);
      // The first round warms the compiler up.
      if (round >= 0) rates.push(rate);
    }
    print(summarize(`pods placed at ${nodeCount} nodes`, "pods/s", rates));
  }
}

function placeAll(nodeCount: number): number {
  const nodes = new NodeTable();
  const shapes = new ShapeCatalog(nodes);
  const placer = new Placer(nodes, defaultPolicy);
  for (let i = 0; i < nodeCount; i++) nodes.setNode(aNode(i));
  const pods = Array.from({ length: PODS }, (_, i) => aPod(i % TEMPLATES));
  const startMs = performance.now();
  for (const spec of pods) {
    const shape = shapes.acquire(spec);
    const row = placer.place(shape);
    if (!(row instanceof NodeRow)) throw new Error(row.message);
    nodes.take(row.name, shape);
  }
  return (PODS * 1000) / (performance.now() - startMs);
}

function aNode(i: number): Node {
  const labels = { "kubernetes.io/hostname": `node-${i}`, "topology.kubernetes.io/zone": `zone-${i % 3}`, disk: i % 2 ? "ssd" : "hdd" };
  const taints = i % 10 === 0 ? [{ key: "dedicated", value: "batch", effect: "NoSchedule" }] : [];
  return {
    metadata: { name: `node-${i}`, labels },
    spec: { taints },
    status: { allocatable: { cpu: "32", memory: "128Gi", pods: "110" } },
  };
}

function aPod(template: number): PodSpec {
  const resources = { requests: { cpu: `${100 + template * 10}m`, memory: `${128 + template}Mi` } };
  return {
    containers: [{ name: "main", image: "app", resources }],
    ...(template % 3 === 0 && { nodeSelector: { disk: "ssd" } }),
    ...(template % 4 === 0 && { tolerations: [{ key: "dedicated", operator: "Exists" }] }),
  };
}
