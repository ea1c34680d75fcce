import assert from "node:assert/strict";
import { clusterParts, until } from "../harness/cluster.ts";
import { type Scenario, scenario, shellPod } from "../harness/scenario.ts";

const node = "node-3";

async function taints(cluster: Scenario): Promise<string> {
  return await cluster.kubectlOk(["get", "node", node, "-o", "jsonpath={.spec.taints[*].key}"]);
}

scenario("a node that falls silent is left by pods that do not tolerate it, and finds its way when it is back", async (cluster) => {
  const tolerations = ["not-ready", "unreachable"].map((state) => ({
    ...{ key: `node.kubernetes.io/${state}`, operator: "Exists", effect: "NoExecute", tolerationSeconds: 1 },
  }));
  await cluster.apply(
    shellPod("stays", "exec sleep 1000", { pod: { nodeName: node } }),
    shellPod("leaves", "exec sleep 1000", { pod: { nodeName: node, tolerations } }),
  );
  await cluster.waitReady("stays", "leaves");
  const { containerID } = (await cluster.getPod("stays")).status.containerStatuses?.[0] ?? {};
  const agent = (await clusterParts()).find(({ name }) => name === `${node} agent`);
  assert.ok(agent?.pid);
  process.kill(agent.pid, "SIGSTOP");
  try {
    await until(
      "the node is not ready",
      async () => (/ NotReady /.test(await cluster.kubectlOk(["get", "node", node])) ? true : undefined),
      60_000,
    );
    assert.match(await taints(cluster), /node\.kubernetes\.io\/unreachable/);
    await until("a pod is sent away", async () => ((await cluster.getPod("leaves")).metadata.deletionTimestamp ? true : undefined));
    const { conditions } = (await cluster.getPod("leaves")).status;
    assert.equal(conditions?.find(({ type }) => type === "DisruptionTarget")?.reason, "DeletionByTaintManager");
    const { metadata, status } = await cluster.getPod("stays");
    assert.equal(metadata.deletionTimestamp, undefined);
    assert.equal(status.conditions?.find(({ type }) => type === "Ready")?.reason, "NodeNotReady");
    // What is new goes elsewhere meanwhile.
    await cluster.apply(shellPod("new", "exec sleep 1000"));
    await cluster.waitReady("new");
    assert.notEqual((await cluster.getPod("new")).spec.nodeName, node);
  } finally {
    process.kill(agent.pid, "SIGCONT");
  }
  await cluster.kubectlOk(["wait", "--for=condition=Ready", "--timeout=60s", `node/${node}`, "pod/stays"], { timeoutMs: 70_000 });
  assert.equal(await taints(cluster), "");
  await cluster.kubectlOk(["wait", "--for=delete", "--timeout=60s", "pod/leaves"], { timeoutMs: 70_000 });
  const [now] = (await cluster.getPod("stays")).status.containerStatuses ?? [];
  assert.deepEqual([now?.containerID, now?.restartCount, now?.ready], [containerID, 0, true]);
});
