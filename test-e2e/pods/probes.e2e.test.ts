import assert from "node:assert/strict";
import { clusterParts, until } from "../harness/cluster.ts";
import { type ContainerView, type Scenario, scenario, shellPod } from "../harness/scenario.ts";

const SERVE = "mkdir -p /www; echo fine > /www/healthy; exec httpd -f -p 8080 -h /www";
const ports = [{ name: "web", containerPort: 8080 }];
const often = { periodSeconds: 1, failureThreshold: 2 };
const command = (script: string) => ({ exec: { command: ["sh", "-c", script] } });

async function container(cluster: Scenario, pod: string): Promise<ContainerView> {
  const [status] = (await cluster.getPod(pod)).status.containerStatuses ?? [];
  assert.ok(status, `pod ${pod} has a container status`);
  return status;
}

async function isReady(cluster: Scenario, pod: string): Promise<boolean> {
  return (await cluster.getPod(pod)).status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}

/** Waits for an event of the pod; its message must be like this. */
async function event(cluster: Scenario, pod: string, reason: string, message: RegExp): Promise<void> {
  const selector = `involvedObject.name=${pod},reason=${reason}`;
  const path = "-o=jsonpath={range .items[*]}{.message}{'\\n'}{end}";
  await until(`an event ${reason} that says ${message}`, async () => {
    const messages = await cluster.kubectlOk(["get", "events", `--field-selector=${selector}`, path]);
    if (messages !== "" && !message.test(messages)) throw new Error(messages);
    return messages === "" ? undefined : true;
  });
}

async function shell(cluster: Scenario, pod: string, script: string): Promise<string> {
  return (await cluster.kubectlOk(["exec", pod, "-c", "main", "--", "sh", "-c", script])).trim();
}

/** A pod whose only container has these fields. */
function podWith(name: string, script: string, more: object, pod: object = {}): object {
  return shellPod(name, script, { container: { ports, ...more }, pod });
}

scenario("a container whose liveness probe fails is restarted, and events say why", async (cluster) => {
  await cluster.apply(
    podWith("unwell", SERVE, { livenessProbe: { httpGet: { path: "/healthy", port: "web" }, initialDelaySeconds: 1, ...often } }),
  );
  await cluster.waitReady("unwell");
  await shell(cluster, "unwell", "rm /www/healthy");
  await until("the restart", async () => ((await container(cluster, "unwell")).restartCount === 1 ? true : undefined));
  await cluster.waitReady("unwell");
  await event(cluster, "unwell", "Unhealthy", /^Liveness probe failed: HTTP probe failed with statuscode: 404$/m);
  await event(cluster, "unwell", "Killing", /^Container main failed liveness probe, will be restarted$/m);
  assert.equal((await container(cluster, "unwell")).lastState?.terminated?.exitCode, 137);
});

scenario("a probe's own grace period is what a container gets that ignores TERM", async (cluster) => {
  const livenessProbe = { ...command("exit 1"), ...often, failureThreshold: 1, terminationGracePeriodSeconds: 1 };
  await cluster.apply(podWith("stubborn", "exec sleep 1000", { livenessProbe }, { terminationGracePeriodSeconds: 600 }));
  await until("the restart", async () => ((await container(cluster, "stubborn")).restartCount === 1 ? true : undefined), 15_000);
  await cluster.kubectlOk(["delete", "pod", "stubborn", "--grace-period=1"]);
});

scenario("readiness turns Ready on and off and restarts nothing", async (cluster) => {
  await cluster.apply(podWith("moody", SERVE, { readinessProbe: { ...command("cat /tmp/ready"), ...often, failureThreshold: 1 } }));
  await event(cluster, "moody", "Unhealthy", /Readiness probe failed: cat: can't open '\/tmp\/ready'/);
  assert.equal(await isReady(cluster, "moody"), false);
  await shell(cluster, "moody", "touch /tmp/ready");
  await cluster.waitReady("moody");
  await shell(cluster, "moody", "rm /tmp/ready");
  await cluster.kubectlOk(["wait", "--for=condition=Ready=false", "--timeout=15s", "pod/moody"]);
  const { ready, restartCount } = await container(cluster, "moody");
  assert.deepEqual([ready, restartCount], [false, 0]);
  assert.match(await cluster.kubectlOk(["get", "pods"]), /moody +0\/1 +Running +0/);
});

scenario("while the startup probe has not succeeded no other probe runs", async (cluster) => {
  const startupProbe = { ...command("echo x >> /tmp/tries; test -e /tmp/up"), periodSeconds: 1, failureThreshold: 100 };
  const livenessProbe = { ...command("touch /tmp/asked"), ...often };
  await cluster.apply(podWith("slow", SERVE, { startupProbe, livenessProbe }));
  await until("three tries", async () => ((await shell(cluster, "slow", "cat /tmp/tries | wc -l")) === "3" ? true : undefined));
  assert.equal(await shell(cluster, "slow", "ls /tmp"), "tries");
  assert.equal((await container(cluster, "slow")).ready, false);
  await shell(cluster, "slow", "touch /tmp/up");
  await cluster.waitReady("slow");
  await until("a liveness probe", async () => (/asked/.test(await shell(cluster, "slow", "ls /tmp")) ? true : undefined));
});

scenario("a sidecar's startup probe holds back what comes after the sidecar", async (cluster) => {
  const proxy = {
    name: "proxy",
    image: "tessera.local/busybox:1",
    restartPolicy: "Always",
    command: ["sh", "-c", `sleep 2; ${SERVE}`],
    ports,
  };
  const startupProbe = { tcpSocket: { port: "web" }, periodSeconds: 1, failureThreshold: 30 };
  const main = "wget -q -O - http://127.0.0.1:8080/healthy; exec sleep 1000";
  await cluster.apply(shellPod("meshed", main, { pod: { initContainers: [{ ...proxy, startupProbe }] } }));
  await cluster.waitReady("meshed");
  assert.equal(await cluster.kubectlOk(["logs", "meshed", "-c", "main"]), "fine\n");
});

scenario("what does not speak gRPC fails a grpc probe, and the event says what it is", async (cluster) => {
  await cluster.apply(podWith("plain", SERVE, { readinessProbe: { grpc: { port: 8080 }, ...often } }));
  await event(cluster, "plain", "Unhealthy", /^Readiness probe failed: error: /);
  assert.equal(await isReady(cluster, "plain"), false);
});

scenario("a pod in the node's network is probed at the node's address", async (cluster) => {
  const httpGet = { path: "/healthy", port: 18_080 };
  const serve = "mkdir -p /www; echo fine > /www/healthy; exec httpd -f -p 18080 -h /www";
  await cluster.apply(shellPod("host", serve, { container: { readinessProbe: { httpGet, ...often } }, pod: { hostNetwork: true } }));
  await cluster.waitReady("host");
});

scenario("the preStop hook runs before TERM, within the grace period", async (cluster) => {
  const script = "trap 'echo TERM; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
  const lifecycle = { preStop: command("echo hook > /proc/1/fd/1; sleep 1; echo over > /proc/1/fd/1") };
  await cluster.apply(podWith("polite", script, { lifecycle }, { terminationGracePeriodSeconds: 30 }));
  await cluster.waitReady("polite");
  const following = cluster.kubectl(["logs", "-f", "polite"]);
  await until("the trap", async () => (/ready/.test(await cluster.kubectlOk(["logs", "polite"])) ? true : undefined));
  await cluster.kubectlOk(["delete", "pod", "polite"]);
  assert.equal((await following).stdout, "ready\nhook\nover\nTERM\n");
});

scenario("a preStop hook that never ends does not keep the pod beyond its grace period", async (cluster) => {
  const lifecycle = { preStop: command("sleep 1000") };
  await cluster.apply(podWith("hanging", "exec sleep 1000", { lifecycle }));
  await cluster.waitReady("hanging");
  const start = Date.now();
  await cluster.kubectlOk(["delete", "pod", "hanging"]);
  const tookMs = Date.now() - start;
  assert.ok(tookMs >= 3_000 && tookMs < 15_000, `${tookMs} ms`);
});

scenario("a container runs once its postStart hook has run, and is ended when that fails", async (cluster) => {
  await cluster.apply(
    podWith("greeted", "sleep 0.5; cat /tmp/hello; exec sleep 1000", { lifecycle: { postStart: command("echo hello > /tmp/hello") } }),
    podWith("jinxed", "exec sleep 1000", { lifecycle: { postStart: command("echo no luck; exit 3") } }),
  );
  await cluster.waitReady("greeted");
  assert.equal(await shell(cluster, "greeted", "cat /tmp/hello"), "hello");
  await event(cluster, "jinxed", "FailedPostStartHook", /exited with code 3: no luck/);
  await event(cluster, "jinxed", "Killing", /^FailedPostStartHook$/m);
  await until("the restart", async () => ((await container(cluster, "jinxed")).restartCount >= 1 ? true : undefined));
});

scenario("a pod fails when its deadline comes", async (cluster) => {
  await cluster.apply(shellPod("late", "exec sleep 1000", { pod: { activeDeadlineSeconds: 2 } }));
  await cluster.kubectlOk(["wait", "--for=jsonpath={.status.phase}=Failed", "--timeout=20s", "pod/late"]);
  const { status } = await cluster.getPod("late");
  assert.equal(status.reason, "DeadlineExceeded");
  assert.ok(status.containerStatuses?.[0]?.state.terminated);
  await event(cluster, "late", "DeadlineExceeded", /longer than the specified deadline/);
});

scenario("a readiness gate keeps a pod from being Ready until somebody sets its condition", async (cluster) => {
  const conditionType = "example.com/in-rotation";
  await cluster.apply(shellPod("gated", "exec sleep 1000", { pod: { readinessGates: [{ conditionType }] } }));
  await cluster.kubectlOk(["wait", "--for=condition=ContainersReady", "--timeout=15s", "pod/gated"]);
  const ready = (await cluster.getPod("gated")).status.conditions?.find(({ type }) => type === "Ready");
  assert.deepEqual([ready?.status, ready?.reason], ["False", "ReadinessGatesNotReady"]);
  const patch = JSON.stringify({ status: { conditions: [{ type: conditionType, status: "True" }] } });
  await cluster.kubectlOk(["patch", "pod", "gated", "--subresource=status", "--type=strategic", "-p", patch]);
  await cluster.waitReady("gated");
  const { conditions } = (await cluster.getPod("gated")).status;
  assert.equal(conditions?.find(({ type }) => type === conditionType)?.status, "True");
});

scenario("a container's last words are its message: from its file, or from its log when it failed", async (cluster) => {
  const never = { restartPolicy: "Never" };
  const fallback = { terminationMessagePolicy: "FallbackToLogsOnError" };
  await cluster.apply(
    podWith("file", "echo from the file > /dev/termination-log; echo from the log; exit 1", {}, never),
    podWith("elsewhere", "echo from there > /tmp/words", { terminationMessagePath: "/tmp/words" }, never),
    podWith("log", "echo from the log; exit 1", fallback, never),
    podWith("both", "echo from the file > /dev/termination-log; echo from the log; exit 1", fallback, never),
    podWith("fine", "echo from the log", fallback, never),
  );
  const messages: Record<string, string | undefined> = {};
  for (const name of ["file", "elsewhere", "log", "both", "fine"]) {
    const ended = await until(`the end of ${name}`, async () => (await container(cluster, name)).state.terminated);
    messages[name] = ended.message?.trim();
  }
  assert.deepEqual(messages, {
    file: "from the file",
    elsewhere: "from there",
    log: "from the log",
    both: "from the file",
    fine: undefined,
  });
});

scenario("after kill -9 of the agent probes begin again, and nothing is restarted", async (cluster) => {
  const probed = {
    livenessProbe: { ...command("touch /tmp/asked"), ...often },
    readinessProbe: { ...command("cat /tmp/ready"), ...often },
  };
  await cluster.apply(podWith("steady", SERVE, probed, { nodeName: "node-1" }));
  await until("it runs", async () => ((await container(cluster, "steady")).state.running ? true : undefined));
  await shell(cluster, "steady", "touch /tmp/ready");
  await cluster.waitReady("steady");
  const { containerID } = await container(cluster, "steady");
  const agent = (await clusterParts()).find(({ name }) => name === "node-1 agent");
  assert.ok(agent?.pid);
  process.kill(agent.pid, "SIGKILL");
  await until("the next agent", async () => {
    await shell(cluster, "steady", "rm -f /tmp/asked");
    return true;
  });
  await until("a probe of the next agent", async () => (/asked/.test(await shell(cluster, "steady", "ls /tmp")) ? true : undefined));
  const now = await container(cluster, "steady");
  assert.deepEqual([now.containerID, now.ready, now.restartCount], [containerID, true, 0]);
  await shell(cluster, "steady", "rm /tmp/ready");
  await cluster.kubectlOk(["wait", "--for=condition=Ready=false", "--timeout=15s", "pod/steady"]);
});
