import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, PodAffinityTerm, TopologySpreadConstraint } from "@tessera/proto";
import { node, type PodBuilder, pod } from "../../controllers/testing/builders.ts";
import { eventually, ManualClock, RecordedEvents, silentLog } from "../../controllers/testing/fakes.ts";
import { MemoryRegistry } from "../../controllers/testing/memory-registry.ts";
import { Scheduler } from "../scheduler.ts";

const web: PodAffinityTerm = { topologyKey: "zone", labelSelector: { matchLabels: { app: "web" } } };
const evenly: TopologySpreadConstraint = { ...web, maxSkew: 1, whenUnsatisfiable: "DoNotSchedule" };
const labelled = (name: string, namespace?: string) => pod(name, namespace).label("app", "web");

/** What is there before the pod that waits: nodes a1 and a2 in zone a, b1 in zone b. Only a2 and b1 take pods that select `open`. */
const nodes = [
  node("a1").label("zone", "a"),
  node("a2").label("zone", "a").label("open", "yes"),
  node("b1").label("zone", "b").label("open", "yes").label("other", "yes"),
];

const withLabels = (labels: Record<string, string>) => (p: Pod) => ({ ...p, metadata: { ...p.metadata, labels } });

const cases: {
  says: string;
  before: PodBuilder[];
  waiting: PodBuilder;
  help: (registry: MemoryRegistry) => Promise<unknown>;
  node: string;
}[] = [
  {
    says: "a pod that it must not be near goes, from another node of the domain",
    before: [labelled("old").on("a1")],
    waiting: pod("p").awayFrom(web).selects("open", "yes").selects("zone", "a"),
    help: ({ pods }) => pods.remove("default", "old", { graceSeconds: 0 }),
    node: "a2",
  },
  {
    says: "a pod that does not want it near goes, from another node of the domain",
    before: [pod("old").awayFrom(web).on("a1")],
    waiting: labelled("p").selects("open", "yes").selects("zone", "a"),
    help: ({ pods }) => pods.remove("default", "old", { graceSeconds: 0 }),
    node: "a2",
  },
  {
    says: "a pod that it must not be near ends",
    before: [labelled("old").on("a1")],
    waiting: pod("p").awayFrom(web).selects("open", "yes").selects("zone", "a"),
    help: ({ pods }) => pods.mutate("default", "old", (p) => ({ ...p, status: { phase: "Succeeded" } })),
    node: "a2",
  },
  {
    says: "a pod that it must not be near gets other labels",
    before: [labelled("old").on("a1")],
    waiting: pod("p").awayFrom(web).selects("zone", "a"),
    help: ({ pods }) => pods.mutate("default", "old", withLabels({ app: "db" })),
    node: "a",
  },
  {
    says: "a pod that it wants to be near comes",
    before: [],
    waiting: pod("p").near(web),
    help: ({ pods }) => pods.create(labelled("new").on("b1").build()),
    node: "b1",
  },
  {
    says: "a pod becomes one that it wants to be near",
    before: [pod("old").on("b1")],
    waiting: pod("p").near(web),
    help: ({ pods }) => pods.mutate("default", "old", withLabels({ app: "web" })),
    node: "b1",
  },
  {
    says: "a pod that it wants to be near gets a node",
    before: [labelled("old").cpu("8")],
    waiting: pod("p").near(web),
    help: ({ nodes }) => nodes.create(node("c1").cpu("8").label("zone", "c").build()),
    node: "c1",
  },
  {
    says: "it gets other labels itself",
    before: [pod("old").awayFrom(web).on("a1")],
    waiting: labelled("p").selects("zone", "a"),
    help: ({ pods }) => pods.mutate("default", "p", withLabels({})),
    node: "a",
  },
  {
    says: "a node gets another label",
    before: [labelled("old").on("a1")],
    waiting: pod("p").near(web).selects("other", "yes"),
    help: ({ nodes }) =>
      nodes.mutate("", "b1", (n) => ({ ...n, metadata: { ...n.metadata, labels: { ...n.metadata?.labels, zone: "a" } } })),
    node: "b1",
  },
  {
    says: "a namespace gets labels",
    before: [labelled("old", "team").on("b1")],
    waiting: pod("p").near({ ...web, namespaceSelector: { matchLabels: { of: "us" } } }),
    help: ({ namespaces }) => namespaces.create({ metadata: { name: "team", labels: { of: "us" } } }),
    node: "b1",
  },
  {
    says: "the emptiest domain fills",
    before: [labelled("old").on("a1")],
    waiting: labelled("p")
      .spreads({ ...evenly, nodeAffinityPolicy: "Ignore" })
      .selects("zone", "a"),
    help: ({ pods }) => pods.create(labelled("new").on("b1").build()),
    node: "a",
  },
  {
    says: "a domain empties while its pod ends",
    before: [labelled("old").on("a1")],
    waiting: labelled("p")
      .spreads({ ...evenly, nodeAffinityPolicy: "Ignore" })
      .selects("open", "yes")
      .selects("zone", "a"),
    help: ({ pods }) => pods.remove("default", "old"),
    node: "a2",
  },
  {
    says: "the emptiest domain goes with its node",
    before: [labelled("old").on("a1")],
    waiting: labelled("p")
      .spreads({ ...evenly, nodeAffinityPolicy: "Ignore" })
      .selects("zone", "a"),
    help: ({ nodes }) => nodes.remove("", "b1"),
    node: "a",
  },
];

for (const { says, before, waiting, help, node: expected } of cases) {
  test(`a pod that waits is looked at when ${says}, without a timer`, async (t) => {
    const registry = new MemoryRegistry();
    for (const each of nodes) await registry.nodes.create(each.build());
    for (const each of before) await registry.pods.create(each.build());
    const stop = new AbortController();
    const scheduler = new Scheduler({ registry, clock: new ManualClock(), events: new RecordedEvents(), log: silentLog });
    const running = scheduler.run(stop.signal);
    t.after(async () => {
      stop.abort();
      await running;
    });
    const state = () => registry.pods.cache.get("default", "p")?.value;
    await registry.pods.create(waiting.build());
    await eventually("it waits", () => state()?.status?.conditions?.[0]?.status === "False");
    assert.equal(state()?.spec?.nodeName, undefined);
    await help(registry);
    await eventually("it has a node", () => state()?.spec?.nodeName?.startsWith(expected) === true);
  });
}
