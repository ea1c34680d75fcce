import assert from "node:assert/strict";
import { resolve } from "node:path";
import { kubectlOk, until } from "../harness/cluster.ts";
import { type Scenario, scenario, shellPod } from "../harness/scenario.ts";

const sleeper = (name: string, labels: object, pod: object) => shellPod(name, "exec sleep 1000", { labels, pod });

/** What kubectl is told of a pod that waits, once it is. */
function refusal(cluster: Scenario, name: string): Promise<string> {
  return until(`${name} is refused`, async () => {
    const { status } = await cluster.getPod(name);
    return status.conditions?.find(({ type, reason }) => type === "PodScheduled" && reason === "Unschedulable")?.message;
  });
}

async function nodesOf(cluster: Scenario, ...names: readonly string[]): Promise<string[]> {
  const pods = await Promise.all(names.map((name) => cluster.getPod(name)));
  return pods.map(({ spec }) => spec.nodeName ?? "");
}

scenario(
  "one pod per node by required anti-affinity; the one too many is told who is in the way, and follows who goes",
  async (cluster) => {
    const term = {
      topologyKey: "kubernetes.io/hostname",
      labelSelector: { matchLabels: { app: "web" } },
      matchLabelKeys: ["revision"],
    };
    const affinity = { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } };
    const web = (name: string, revision = "1") => sleeper(name, { app: "web", revision }, { affinity });
    await cluster.apply(web("web-1"), web("web-2"), web("web-3"));
    await cluster.waitReady("web-1", "web-2", "web-3");
    const nodes = await nodesOf(cluster, "web-1", "web-2", "web-3");
    assert.deepEqual([...nodes].sort(), ["node-1", "node-2", "node-3"]);
    // The manifest lacks the values that were merged into the selector.
    await cluster.apply(web("web-1"), web("web-4"));
    const told = await refusal(cluster, "web-4");
    assert.match(told, /^0\/3 nodes are available: /);
    const reason = (name: string) => `pod anti-affinity with ${cluster.namespace}/${name} over kubernetes.io/hostname`;
    for (const name of ["web-1", "web-2", "web-3"]) assert.ok(told.includes(`1 ${reason(name)}`), told);
    await until("an event says so", async () => {
      const events = await cluster.kubectlOk(["get", "events", "--field-selector=reason=FailedScheduling,involvedObject.name=web-4"]);
      return events.includes(reason("web-2")) || undefined;
    });
    const why = await cluster.tsctlOk(["why", "web-4"]);
    for (const [at, node] of nodes.entries()) assert.ok(why.includes(`    ${node}: ${reason(`web-${at + 1}`)}\n`), why);
    assert.match(why, /\nTry:\n {2}pods keep each other away/);
    // Of another revision, it is no pod of theirs.
    await cluster.apply(web("next", "2"));
    await cluster.waitReady("next");
    await cluster.kubectlOk(["delete", "pod", "web-2"]);
    await cluster.waitReady("web-4");
    assert.deepEqual(await nodesOf(cluster, "web-4"), [nodes[1]]);
  },
);

scenario("pods are spread over zones; one that would make a zone too full waits until the other has filled", async (cluster) => {
  const key = `${cluster.namespace}.test/zone`;
  const zones = { "node-1": "a", "node-2": "a", "node-3": "b" } as const;
  for (const [node, zone] of Object.entries(zones)) await kubectlOk(["label", "node", node, `${key}=${zone}`]);
  try {
    const constraint = {
      maxSkew: 1,
      topologyKey: key,
      whenUnsatisfiable: "DoNotSchedule",
      labelSelector: { matchLabels: { app: "web" } },
      nodeAffinityPolicy: "Ignore",
    };
    const web = (name: string, zone?: "a" | "b") =>
      sleeper(name, { app: "web" }, { topologySpreadConstraints: [constraint], ...(zone && { nodeSelector: { [key]: zone } }) });
    await cluster.apply(web("web-1"), web("web-2"));
    await cluster.waitReady("web-1", "web-2");
    const [one = "", other = ""] = await nodesOf(cluster, "web-1", "web-2");
    assert.deepEqual([zones[one as keyof typeof zones], zones[other as keyof typeof zones]].sort(), ["a", "b"]);
    await cluster.apply(web("web-3", "a"));
    await cluster.waitReady("web-3");
    await cluster.apply(web("web-4", "a"));
    assert.equal(
      await refusal(cluster, "web-4"),
      `0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 spread over ${key}: would be 3 in a, at most 2 allowed.`,
    );
    await cluster.apply(web("web-5", "b"));
    await cluster.waitReady("web-4", "web-5");
    assert.match((await nodesOf(cluster, "web-4"))[0] ?? "", /^node-[12]$/);
  } finally {
    for (const node of Object.keys(zones)) await kubectlOk(["label", "node", node, `${key}-`]);
  }
});

scenario("a pod goes where a pod of another namespace is, once that namespace has the label", async (cluster) => {
  const namespace = `${cluster.namespace}-db`;
  await kubectlOk(["create", "namespace", namespace]);
  try {
    await kubectlOk(["-n", namespace, "apply", "-f", "-"], { input: JSON.stringify(sleeper("db", { app: "db" }, {})) });
    await kubectlOk(["-n", namespace, "wait", "--for=condition=Ready", "--timeout=30s", "pod/db"], { timeoutMs: 40_000 });
    const term = {
      topologyKey: "kubernetes.io/hostname",
      labelSelector: { matchLabels: { app: "db" } },
      namespaceSelector: { matchLabels: { of: cluster.namespace } },
    };
    const podAffinity = { requiredDuringSchedulingIgnoredDuringExecution: [term] };
    await cluster.apply(sleeper("client", { app: "client" }, { affinity: { podAffinity } }));
    assert.match(
      await refusal(cluster, "client"),
      /pod affinity over kubernetes\.io\/hostname: no pod that it wants to be near is in node-3/,
    );
    await kubectlOk(["label", "namespace", namespace, `of=${cluster.namespace}`]);
    await cluster.waitReady("client");
    const db = await kubectlOk(["-n", namespace, "get", "pod", "db", "-o", "jsonpath={.spec.nodeName}"]);
    assert.deepEqual(await nodesOf(cluster, "client"), [db]);
  } finally {
    await kubectlOk(["delete", "namespace", namespace, "--timeout=60s"], { timeoutMs: 70_000 });
  }
});

scenario("the example's servers are on two nodes, and its client is beside one of them", async (cluster) => {
  await cluster.kubectlOk(["apply", "-f", resolve(import.meta.dirname, "../../examples/apart.yaml")]);
  await cluster.waitReady("greeter-1", "greeter-2", "visitor");
  const [one, other, client = ""] = await nodesOf(cluster, "greeter-1", "greeter-2", "visitor");
  assert.notEqual(one, other);
  assert.ok([one, other].includes(client), `${client} is neither ${one} nor ${other}`);
});

scenario("a pod that names a runtime is refused", async (cluster) => {
  const input = JSON.stringify(sleeper("boxed", {}, { runtimeClassName: "kata" }));
  const { code, stderr } = await cluster.kubectl(["apply", "-f", "-"], { input });
  assert.equal(code, 1);
  assert.match(stderr, /^Error from server \(Forbidden\): .*pods "boxed" is forbidden: pod rejected: RuntimeClass "kata" not found/);
});
