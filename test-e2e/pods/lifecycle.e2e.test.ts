import assert from "node:assert/strict";
import { exampleImage, until } from "../harness/cluster.ts";
import { type ContainerView, type Scenario, scenario, shellPod } from "../harness/scenario.ts";

async function container(cluster: Scenario, pod: string): Promise<ContainerView> {
  const [status] = (await cluster.getPod(pod)).status.containerStatuses ?? [];
  assert.ok(status, `pod ${pod} has a container status`);
  return status;
}

scenario("restartPolicy Never: the exit code decides between Succeeded and Failed", async (cluster) => {
  await cluster.apply(
    shellPod("good", "exit 0", { pod: { restartPolicy: "Never" } }),
    shellPod("bad", "exit 3", { pod: { restartPolicy: "Never" } }),
    shellPod("killed", "kill -9 $$; sleep 1000", {
      pod: { restartPolicy: "Never" },
      container: { command: ["sh", "-c", "sh -c 'kill -9 $$$$'; exit $?"] },
    }),
  );
  await cluster.kubectlOk(["wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=20s", "pod/good"]);
  await cluster.kubectlOk(["wait", "--for=jsonpath={.status.phase}=Failed", "--timeout=20s", "pod/bad", "pod/killed"]);
  assert.equal((await container(cluster, "good")).state.terminated?.reason, "Completed");
  const bad = (await container(cluster, "bad")).state.terminated;
  assert.deepEqual([bad?.reason, bad?.exitCode], ["Error", 3]);
  assert.equal((await container(cluster, "killed")).state.terminated?.exitCode, 137);
});

scenario("restartPolicy OnFailure starts a container again until it ends well", async (cluster) => {
  const script = "if [ -e /state/again ]; then exit 0; fi; touch /state/again; exit 1";
  await cluster.apply(
    shellPod("second-try", script, {
      container: { volumeMounts: [{ name: "state", mountPath: "/state" }] },
      pod: { restartPolicy: "OnFailure", volumes: [{ name: "state", emptyDir: {} }] },
    }),
  );
  await cluster.kubectlOk(["wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s", "pod/second-try"], { timeoutMs: 40_000 });
  const status = await container(cluster, "second-try");
  assert.equal(status.restartCount, 1);
  assert.equal(status.state.terminated?.exitCode, 0);
  assert.equal(status.lastState?.terminated?.exitCode, 1);
});

scenario("a container that keeps failing backs off as CrashLoopBackOff, and its last words are kept", async (cluster) => {
  await cluster.apply(shellPod("crashing", "echo last words; exit 42"));
  const status = await until("the back-off", async () => {
    const now = await container(cluster, "crashing");
    return now.state.waiting?.reason === "CrashLoopBackOff" ? now : undefined;
  });
  assert.equal(status.lastState?.terminated?.exitCode, 42);
  assert.match(status.state.waiting?.message ?? "", /back-off .* restarting failed container=main/);
  assert.equal((await cluster.getPod("crashing")).status.phase, "Running");
  assert.match(await cluster.kubectlOk(["logs", "crashing"]), /last words/);
  assert.match(await cluster.kubectlOk(["get", "pods"]), /crashing +0\/1 +CrashLoopBackOff/);
});

scenario("a container over its memory limit is OOMKilled with exit code 137", async (cluster) => {
  await cluster.apply(
    shellPod("hungry", "", {
      container: { command: ["sh", "-c", "exec tail /dev/zero"], resources: { limits: { memory: "16Mi" } } },
      pod: { restartPolicy: "Never" },
    }),
  );
  await cluster.kubectlOk(["wait", "--for=jsonpath={.status.phase}=Failed", "--timeout=30s", "pod/hungry"], { timeoutMs: 40_000 });
  const { terminated } = (await container(cluster, "hungry")).state;
  assert.deepEqual([terminated?.reason, terminated?.exitCode], ["OOMKilled", 137]);
  assert.match(await cluster.kubectlOk(["get", "pods"]), /hungry +0\/1 +OOMKilled/);
});

scenario("limits are the container's cgroup limits", async (cluster) => {
  const limits = { cpu: "250m", memory: "64Mi" };
  await cluster.apply(shellPod("limited", "exec sleep 1000", { container: { resources: { limits } } }));
  await cluster.waitReady("limited");
  const shell = async (script: string) => (await cluster.kubectlOk(["exec", "limited", "--", "sh", "-c", script])).trim();
  assert.equal(await shell("cat /sys/fs/cgroup/memory/memory.limit_in_bytes"), String(64 << 20));
  assert.equal(await shell("cd /sys/fs/cgroup/cpu; echo $(($(cat cpu.cfs_quota_us) * 1000 / $(cat cpu.cfs_period_us)))"), "250");
});

scenario("init containers run one after another, before the others", async (cluster) => {
  const initContainer = (name: string, script: string) => ({
    name,
    image: "tessera.local/busybox:1",
    command: ["sh", "-c", script],
    volumeMounts: [{ name: "state", mountPath: "/state" }],
  });
  await cluster.apply(
    shellPod("prepared", "cat /state/order; exec sleep 1000", {
      container: { volumeMounts: [{ name: "state", mountPath: "/state" }] },
      pod: {
        volumes: [{ name: "state", emptyDir: {} }],
        initContainers: [
          initContainer("first", "sleep 0.3; echo first >> /state/order"),
          initContainer("second", "echo second >> /state/order"),
        ],
      },
    }),
  );
  await cluster.waitReady("prepared");
  await until("the order in the log", async () =>
    (await cluster.kubectlOk(["logs", "prepared", "-c", "main"])) === "first\nsecond\n" ? true : undefined,
  );
});

scenario("deletion sends TERM, waits for the grace period, then kills", async (cluster) => {
  const polite = "trap 'echo got TERM; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
  const stubborn = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
  await cluster.apply(
    shellPod("polite", polite, { pod: { terminationGracePeriodSeconds: 30 } }),
    shellPod("stubborn", stubborn, { pod: { terminationGracePeriodSeconds: 2 } }),
  );
  await cluster.waitReady("polite", "stubborn");
  for (const pod of ["polite", "stubborn"]) {
    await until(`${pod} to set its trap`, async () => (/ready/.test(await cluster.kubectlOk(["logs", pod])) ? true : undefined));
  }
  const connected = Promise.withResolvers<void>();
  const following = cluster.kubectl(["logs", "-f", "polite"], { onStdout: () => connected.resolve() });
  await Promise.race([connected.promise, following]);
  const timed = async (pod: string) => {
    const start = Date.now();
    await cluster.kubectlOk(["delete", "pod", pod]);
    return Date.now() - start;
  };
  const [politeMs, stubbornMs] = await Promise.all([timed("polite"), timed("stubborn")]);
  assert.ok(politeMs < 15_000, `polite took ${politeMs} ms of its 30 s`);
  assert.ok(stubbornMs >= 2_000 && stubbornMs < 15_000, `stubborn took ${stubbornMs} ms`);
  assert.match((await following).stdout, /got TERM/);
});

scenario("a container that a signal has killed is told with its signal, by status, describe and why", async (cluster) => {
  // In a command "$$" stands for "$". With a first process of the pod's own those of containers can be killed by any signal, also from within.
  const pod = { shareProcessNamespace: true, restartPolicy: "Never" };
  const first = { name: "first", image: exampleImage, command: ["sh", "-c", "kill -ABRT $$$$"] };
  await cluster.apply(
    shellPod("crashed", "kill -SEGV $$$$", { pod }),
    shellPod("stillborn", "exec sleep 1000", { pod: { ...pod, initContainers: [first] } }),
    shellPod("again", "sleep 0.5; kill -KILL $$$$", { pod: { ...pod, restartPolicy: "OnFailure" } }),
  );
  const failed = async (name: string) =>
    await until(`${name} fails`, async () => {
      const { status } = await cluster.getPod(name);
      return status.phase === "Failed" ? status : undefined;
    });
  const told = ({ reason, exitCode, signal }: { reason?: string; exitCode?: number; signal?: number } = {}) => [reason, exitCode, signal];
  assert.deepEqual(told((await failed("crashed")).containerStatuses?.[0]?.state.terminated), ["Error", 139, 11]);
  assert.deepEqual(told((await failed("stillborn")).initContainerStatuses?.[0]?.state.terminated), ["Error", 134, 6]);
  const last = await until("it has been killed and started again", async () => {
    const [main] = (await cluster.getPod("again")).status.containerStatuses ?? [];
    return (main?.restartCount ?? 0) > 0 ? main?.lastState?.terminated : undefined;
  });
  assert.deepEqual(told(last), ["Error", 137, 9]);
  assert.match(await cluster.kubectlOk(["describe", "pod", "crashed"]), /Reason: +Error\n +Exit Code: +139\n +Signal: +11\n/);
  assert.match(await cluster.tsctlOk(["describe", "pod", "stillborn"]), /State: +Terminated: Error, exit code 134, signal 6\n/);
  assert.match(
    await cluster.tsctlOk(["why", "crashed"]),
    /container main: Error, exit code 139, signal 11, .*\n(.*\n)*.*main crashed by itself \(SIGSEGV\)/,
  );
  assert.match(await cluster.kubectlOk(["get", "pod", "stillborn"]), / 0\/1 +Init:Error /);
});
