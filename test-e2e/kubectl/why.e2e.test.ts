import assert from "node:assert/strict";
import { until } from "../harness/cluster.ts";
import { scenario, shellPod } from "../harness/scenario.ts";

scenario("why tells of each node why it does not take a pod", async (cluster) => {
  await cluster.apply(shellPod("huge", "exec sleep 1000", { container: { resources: { requests: { cpu: "4k" } } } }));
  const told = await until("the scheduler has refused it", async () => {
    const text = await cluster.tsctlOk(["why", "pod/huge"]);
    return text.includes("0/3 nodes are available") ? text : undefined;
  });
  assert.match(told, new RegExp(`^pod ${cluster.namespace}/huge is Pending, on no node yet\n`));
  for (const node of ["node-1", "node-2", "node-3"]) assert.match(told, new RegExp(`^ {4}${node}: Insufficient cpu$`, "m"));
  assert.match(told, /\nTry:\n {2}it asks for more cpu than any fitting node has left/);
});

scenario("why names the config map that a pod waits for, and the pod goes on once it is there", async (cluster) => {
  await cluster.apply(
    shellPod("waits", "exec sleep 1000", { container: { envFrom: [{ configMapRef: { name: "settings" } }] } }),
    shellPod("mounts", "exec sleep 1000", {
      pod: { volumes: [{ name: "conf", configMap: { name: "settings" } }] },
      container: { volumeMounts: [{ name: "conf", mountPath: "/conf" }] },
    }),
  );
  for (const [pod, who] of [
    ["waits", "container main"],
    ["mounts", "volume conf"],
  ] as const) {
    await until(`why tells of ${pod}`, async () => {
      const text = await cluster.tsctlOk(["why", "pod", pod]);
      return text.includes(`  ${who}: configmap "settings" is missing\n`) ? text : undefined;
    });
  }
  await cluster.tsctlOk(["create", "configmap", "settings", "--from-literal=color=blue"]);
  await cluster.waitReady("waits", "mounts");
  assert.match(await cluster.tsctlOk(["why", "waits"]), /is Running and ready, on node-\d\n\nNothing is wrong with it/);
});

scenario("why tells how a container crashed, when it is tried again, and what it said last", async (cluster) => {
  await cluster.apply(shellPod("crashes", "echo first; echo the last words; exit 3"));
  const told = await until("it crashes in a loop", async () => {
    const text = await cluster.tsctlOk(["why", "pod/crashes"]);
    return text.includes("CrashLoopBackOff") && text.includes("last words") ? text : undefined;
  });
  assert.match(told, /\n {2}container main: CrashLoopBackOff: ended \d+ times, next try (in \d+s|now) \(back-off \d+s\)\n/);
  assert.match(told, /\n {2}container main: Error, exit code 3, \d+s ago.*\n {4}\| first\n {4}\| the last words\n/);
  const story = JSON.parse(await cluster.tsctlOk(["why", "pod/crashes", "-o", "json", "--tail=1"]));
  assert.deepEqual(story.exits[0].log, ["the last words"]);
});
