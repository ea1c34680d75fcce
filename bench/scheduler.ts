/** Decisions of the scheduler alone, without store and writes: pods placed a second on empty clusters of two sizes. */
import { setImmediate } from "node:timers/promises";
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

/** Applications whose pods have rules about each other; each has this share of all pods. */
const APPS = 20;

interface Workload {
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: PodSpec;
}

export async function benchScheduler(print: (figure: Figure) => void): Promise<void> {
  for (const nodeCount of [1_000, 5_000]) await measure(`pods placed at ${nodeCount} nodes`, nodeCount, plain, print);
  await measure("pods with anti-affinity over hosts placed at 1000 nodes", 1_000, apart, print);
  await measure("pods spread over zones and hosts placed at 1000 nodes", 1_000, spread, print);
}

async function measure(
  figure: string,
  nodeCount: number,
  workload: (i: number) => Workload,
  print: (figure: Figure) => void,
): Promise<void> {
  const rates: number[] = [];
  for (let round = -1; round < ROUNDS; round++) {
    const rate = placeAll(nodeCount, workload);
    // A signal is heard between two turns of the event loop.
    await setImmediate();
    // The first round warms the compiler up.
    if (round >= 0) rates.push(rate);
  }
  print(summarize(figure, "pods/s", rates));
}

function placeAll(nodeCount: number, workload: (i: number) => Workload): number {
  const nodes = new NodeTable();
  const shapes = new ShapeCatalog(nodes);
  const placer = new Placer(nodes, defaultPolicy);
  for (let i = 0; i < nodeCount; i++) nodes.setNode(aNode(i));
  const pods = Array.from({ length: PODS }, (_, i) => workload(i));
  const startMs = performance.now();
  for (const { spec, labels } of pods) {
    const shape = shapes.acquire(spec, "default");
    const selectable = nodes.peers.acquirePod("default", labels);
    const row = placer.place(shape, selectable.kin);
    if (!(row instanceof NodeRow)) throw new Error(row.message);
    nodes.take(row.name, { namespace: "default", name: "pod", shape, selectable, isLeaving: false });
  }
  return (PODS * 1000) / (performance.now() - startMs);
}

/** Pods that say nothing of each other. */
function plain(i: number): Workload {
  return { labels: { app: `app-${i % TEMPLATES}` }, spec: aPod(i % TEMPLATES) };
}

/** No two pods of an application on one node. */
function apart(i: number): Workload {
  const labels = { app: `app-${i % APPS}` };
  const term = { labelSelector: { matchLabels: labels }, topologyKey: "kubernetes.io/hostname" };
  const podAntiAffinity = { requiredDuringSchedulingIgnoredDuringExecution: [term] };
  return { labels, spec: { ...aPod(1 + (i % APPS)), affinity: { podAntiAffinity } } };
}

/** Each application evenly over zones, and over nodes as far as that goes. */
function spread(i: number): Workload {
  const labels = { app: `app-${i % APPS}` };
  const labelSelector = { matchLabels: labels };
  const topologySpreadConstraints = [
    { maxSkew: 1, topologyKey: "topology.kubernetes.io/zone", whenUnsatisfiable: "DoNotSchedule", labelSelector },
    { maxSkew: 1, topologyKey: "kubernetes.io/hostname", whenUnsatisfiable: "ScheduleAnyway", labelSelector },
  ];
  return { labels, spec: { ...aPod(1 + (i % APPS)), topologySpreadConstraints } };
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
