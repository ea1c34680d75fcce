import assert from "node:assert/strict";
import { exampleImage, kubectlOk, until } from "../harness/cluster.ts";
import { scenario, shellPod } from "../harness/scenario.ts";

/** Cells of the rows, without the header. */
const rows = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
const millis = (cell = "") => Number(/^(\d+)m$/.exec(cell)?.[1] ?? Number.NaN);
const mebibytes = (cell = "") => Number(/^(\d+)Mi$/.exec(cell)?.[1] ?? Number.NaN);

scenario("top shows that a busy pod uses more than an idle one", async (cluster) => {
  await cluster.apply(
    shellPod("idle", "exec sleep 1000"),
    // Half a processor, so that the machine stays usable.
    shellPod("busy", "", {
      pod: {
        containers: [
          { name: "main", image: exampleImage, command: ["sh", "-c", "while true; do :; done"], resources: { limits: { cpu: "500m" } } },
          { name: "side", image: exampleImage, command: ["sleep", "1000"] },
        ],
      },
    }),
  );
  await cluster.waitReady("idle", "busy");
  const use = await until(
    "kubectl top knows both pods",
    async () => {
      const found = new Map(
        rows(await cluster.kubectlOk(["top", "pod", "--no-headers"])).map(([name = "", cpu, memory]) => [name, { cpu, memory }]),
      );
      return found.has("idle") && millis(found.get("busy")?.cpu) > 100 ? found : undefined;
    },
    60_000,
  );
  assert.ok(millis(use.get("busy")?.cpu) > 10 * millis(use.get("idle")?.cpu), JSON.stringify([...use]));
  assert.ok(millis(use.get("busy")?.cpu) < 700, "no more than its limit");
  assert.ok(mebibytes(use.get("idle")?.memory) < 50, JSON.stringify([...use]));

  const containers = rows(await cluster.kubectlOk(["top", "pod", "busy", "--containers", "--no-headers", "--sort-by=cpu"]));
  assert.deepEqual(
    containers.map(([pod, container]) => [pod, container]),
    [
      ["busy", "main"],
      ["busy", "side"],
    ],
  );
  assert.match(await cluster.kubectlOk(["top", "pod", "-A", "--sort-by=memory"]), new RegExp(`${cluster.namespace} +busy `));
  assert.deepEqual(
    rows(await cluster.kubectlOk(["top", "pod", "-l", "app=idle", "--no-headers"])).map(([name]) => name),
    ["idle"],
  );
  assert.equal(rows(await cluster.tsctlOk(["top", "pod", "--no-headers"]))[0]?.[0], "busy", "tsctl shows the busiest first");

  // The busy pod's node is as busy as that, at least.
  const { nodeName = "" } = (await cluster.getPod("busy")).spec;
  const [node] = rows(await cluster.kubectlOk(["top", "node", nodeName, "--no-headers"]));
  assert.equal(node?.length, 5, "with shares of what is allocatable");
  assert.ok(millis(node?.[1]) > 100 && mebibytes(node?.[3]) > 10, node?.join(" "));
  assert.match(await cluster.tsctlOk(["top", "node"]), new RegExp(`^NAME +CPU +CPU% +MEMORY +MEMORY%$[^]*^${nodeName} +\\d+m +\\d+%`, "m"));

  await cluster.kubectlOk(["delete", "pod", "busy"]);
  assert.match((await cluster.kubectl(["top", "pod", "busy"])).stderr, /"busy" not found/);
});

scenario("/metrics counts what the control plane does", async () => {
  const text = await kubectlOk(["get", "--raw", "/metrics"]);
  assert.match(text, /^tessera_node_sessions 3$/m);
  assert.match(text, /^tessera_api_requests_total\{verb="[a-z]+",resource="pods",code="20[01]"\} [1-9]/m);
});
