import assert from "node:assert/strict";
import { until } from "../harness/cluster.ts";
import { scenario, shellPod } from "../harness/scenario.ts";

const counting = "ulimit -Sn; ulimit -Hn; i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.01; done";

scenario("a pod has the ulimits of its annotations, and stands still while one says so", async (cluster) => {
  const pod = shellPod("still", counting) as { metadata: object };
  await cluster.apply({ ...pod, metadata: { ...pod.metadata, annotations: { "tessera.dev/ulimits": "nofile=77:88" } } });
  await cluster.waitReady("still");
  assert.equal(await cluster.kubectlOk(["logs", "still"]), "77\n88\n");
  await cluster.kubectlOk(["annotate", "pod", "still", "tessera.dev/paused=true"]);
  await cluster.kubectlOk(["wait", "--for=condition=tessera.dev/Paused", "--timeout=20s", "pod/still"]);
  await until("it is not Ready", async () =>
    (await cluster.getPod("still")).status.containerStatuses?.[0]?.ready === false ? true : undefined,
  );
  const refused = await cluster.kubectl(["exec", "still", "--", "true"]);
  assert.match(refused.stderr, /container main_0 is paused; resume it first/);
  await cluster.kubectlOk(["annotate", "pod", "still", "tessera.dev/paused-"]);
  await cluster.waitReady("still");
  const count = async () => Number(await cluster.kubectlOk(["exec", "still", "--", "cat", "/count"]));
  const before = await count();
  await until("it counts on", async () => ((await count()) > before ? true : undefined));
  const wrong = await cluster.kubectl(["annotate", "pod", "still", "--overwrite", "tessera.dev/ulimits=files=1"]);
  assert.match(wrong.stderr, /metadata\.annotations\[tessera\.dev\/ulimits\]: Invalid value: "files=1": there is no ulimit "files"/);
  // A pod that stands still is let go on to end.
  await cluster.kubectlOk(["annotate", "pod", "still", "tessera.dev/paused=main"]);
  await cluster.kubectlOk(["wait", "--for=condition=tessera.dev/Paused", "--timeout=20s", "pod/still"]);
  await cluster.kubectlOk(["delete", "pod", "still", "--timeout=30s"]);
});

scenario("a pod with a kernel setting that it may not have fails, and is told why", async (cluster) => {
  const sysctls = [{ name: "net.core.somaxconn", value: "1" }];
  await cluster.apply(shellPod("tuned", "sleep 1000", { pod: { securityContext: { sysctls } } }));
  const { status } = await until("it fails", async () => {
    const pod = await cluster.getPod("tuned");
    return pod.status.phase === "Failed" ? pod : undefined;
  });
  assert.equal(status.reason, "SysctlForbidden");
  assert.match(status.message ?? "", /"net\.core\.somaxconn" is not one of the safe ones/);
});

scenario("a pod that is sent to a node by name, which cannot take it in, fails and says why; the node takes others", async (cluster) => {
  const nodeName = "node-1";
  const asking = (name: string, pod: object, resources: object = {}) =>
    shellPod(name, "sleep 1000", { pod: { nodeName, ...pod }, container: { resources } });
  await cluster.apply(
    asking("large", {}, { requests: { cpu: "1000" } }),
    asking("elsewhere", { nodeSelector: { "kubernetes.io/hostname": "node-2" } }),
    asking("small", { nodeSelector: { "kubernetes.io/hostname": nodeName } }, { requests: { cpu: "10m" } }),
  );
  const refused = async (name: string) => {
    const { status } = await until(`${name} fails`, async () => {
      const pod = await cluster.getPod(name);
      return pod.status.phase === "Failed" ? pod : undefined;
    });
    const events = await cluster.kubectlOk(["get", "events", "--field-selector", `involvedObject.name=${name},reason=${status.reason}`]);
    return { ...status, events };
  };
  const large = await refused("large");
  assert.equal(large.reason, "OutOfcpu");
  assert.match(
    large.message ?? "",
    /^Pod was rejected: Node didn't have enough resource: cpu, requested: 1000000, used: \d+, capacity: \d+$/,
  );
  assert.match(large.events, /Warning +OutOfcpu +pod\/large +Node didn't have enough resource: cpu/);
  assert.match(await cluster.kubectlOk(["get", "pod", "large"]), / 0\/1 +OutOfcpu /);
  const elsewhere = await refused("elsewhere");
  assert.equal(elsewhere.reason, "NodeAffinity");
  assert.match(elsewhere.events, /Predicate NodeAffinity failed: node\(s\) didn't match Pod's node affinity\/selector/);
  await cluster.waitReady("small");
});

scenario("a container runs on the CPUs that its annotation names, and says so when its node does not have them", async (cluster) => {
  const on = (name: string, cpus: string) => {
    const pod = shellPod(name, "grep Cpus_allowed_list /proc/self/status; exec sleep 1000") as { metadata: object };
    return { ...pod, metadata: { ...pod.metadata, annotations: { "tessera.dev/cpuset-cpus": cpus } } };
  };
  await cluster.apply(on("bound", "0"), on("astray", "8000"));
  await cluster.waitReady("bound");
  await until("it has told", async () => ((await cluster.kubectlOk(["logs", "bound"])) === "Cpus_allowed_list:\t0\n" ? true : undefined));
  assert.equal(
    await cluster.kubectlOk(["exec", "bound", "--", "grep", "Cpus_allowed_list", "/proc/self/status"]),
    "Cpus_allowed_list:\t0\n",
  );
  const message = await until("it cannot start", async () => {
    const waiting = (await cluster.getPod("astray")).status.containerStatuses?.[0]?.state.waiting;
    return waiting?.reason === "CreateContainerConfigError" ? waiting.message : undefined;
  });
  assert.match(message, /the node has no CPU 8000, only 0/);
});
