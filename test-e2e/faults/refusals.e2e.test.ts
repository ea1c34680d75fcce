import assert from "node:assert/strict";
import https from "node:https";
import { until } from "../harness/cluster.ts";
import { type Scenario, scenario, shellPod } from "../harness/scenario.ts";

const misspelt = `apiVersion: v1
kind: Pod
metadata:
  name: misspelt
spec:
  containers:
    - name: main
      image: tessera.local/busybox:1
      imagePulPolicy: Always
`;

scenario("an unknown field is refused with its path, the line and the name that was meant", async (cluster) => {
  const byTsctl = await cluster.tsctl(["apply", "-f", "-"], { input: misspelt });
  assert.equal(byTsctl.code, 1);
  assert.match(byTsctl.stderr, /spec\.containers\[0\]\.imagePulPolicy: unknown field, did you mean imagePullPolicy\? \(line 9\)/);
  const byKubectl = await cluster.kubectl(["apply", "-f", "-"], { input: misspelt });
  assert.equal(byKubectl.code, 1);
  assert.match(byKubectl.stderr, /imagePulPolicy.*imagePullPolicy/s);
  assert.match((await cluster.kubectl(["get", "pod", "misspelt"])).stderr, /not found/);
});

scenario("all faults of a manifest are told at once", async (cluster) => {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "Bad_Name" },
    spec: {
      containers: [
        { name: "a", image: "" },
        { name: "a", image: "x", resources: { limits: { cpu: "lots" } } },
      ],
    },
  };
  const { code, stderr } = await cluster.kubectl(["create", "-f", "-"], { input: JSON.stringify(pod) });
  assert.equal(code, 1);
  for (const expected of [
    /metadata\.name/,
    /spec\.containers\[0\]\.image/,
    /spec\.containers\[1\]\.name/,
    /spec\.containers\[1\]\.resources\.limits\[?\.?cpu/,
  ])
    assert.match(stderr, expected);
});

scenario("malformed YAML is refused with its line, and what was right before it is kept", async (cluster) => {
  const { code, stderr } = await cluster.tsctl(["apply", "-f", "-"], { input: "apiVersion: v1\nkind: Pod\nmetadata: [oops\n" });
  assert.equal(code, 1);
  assert.match(stderr, /line [34]/);
});

async function waitingReason(cluster: Scenario, pod: string): Promise<string | undefined> {
  const [status] = (await cluster.getPod(pod)).status.containerStatuses ?? [];
  return status?.state.waiting?.reason ?? status?.state.terminated?.reason;
}

scenario("an image that is not there is told apart from one that never should be pulled", async (cluster) => {
  await cluster.apply(
    shellPod("absent", "", { container: { image: "127.0.0.1:1/no-such-image:1" } }),
    shellPod("never", "", { container: { image: "127.0.0.1:1/no-such-image:1", imagePullPolicy: "Never" } }),
    shellPod("misnamed", "", { container: { image: "Not A Name" } }),
  );
  const expected: [string, RegExp][] = [
    ["absent", /^(ErrImagePull|ImagePullBackOff)$/],
    ["never", /^ErrImageNeverPull$/],
    ["misnamed", /^InvalidImageName$/],
  ];
  for (const [pod, reason] of expected)
    await until(`the reason of ${pod}`, async () => (reason.test((await waitingReason(cluster, pod)) ?? "") ? true : undefined));
  assert.match(await cluster.kubectlOk(["describe", "pod", "absent"]), /no-such-image/);
});

scenario("a pod waits for its ConfigMap, says which one, and starts when it is there", async (cluster) => {
  await cluster.apply(shellPod("waiting", "exec sleep 1000", { container: { envFrom: [{ configMapRef: { name: "late" } }] } }));
  await until("the reason", async () => ((await waitingReason(cluster, "waiting")) === "CreateContainerConfigError" ? true : undefined));
  const [status] = (await cluster.getPod("waiting")).status.containerStatuses ?? [];
  assert.match(status?.state.waiting?.message ?? "", /configmap "late" not found/);
  await cluster.apply({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "late" }, data: { a: "b" } });
  await cluster.waitReady("waiting");
});

scenario("a pod waits for the Secret of its volume, and starts when it is there", async (cluster) => {
  await cluster.apply(
    shellPod("volume", "exec sleep 1000", {
      container: { volumeMounts: [{ name: "s", mountPath: "/s" }] },
      pod: { volumes: [{ name: "s", secret: { secretName: "late" } }] },
    }),
  );
  await until("the event", async () =>
    /FailedMount.*secret "late" not found/.test(
      await cluster.kubectlOk(["get", "events", "--field-selector", "involvedObject.name=volume"]),
    )
      ? true
      : undefined,
  );
  await cluster.apply({ apiVersion: "v1", kind: "Secret", metadata: { name: "late" }, stringData: { a: "b" } });
  await cluster.waitReady("volume");
});

scenario("a command that does not exist fails to start with a word on it", async (cluster) => {
  await cluster.apply(shellPod("no-command", "", { container: { command: ["/no/such/command"] }, pod: { restartPolicy: "Never" } }));
  await cluster.kubectlOk(["wait", "--for=jsonpath={.status.phase}=Failed", "--timeout=20s", "pod/no-command"]);
  const [status] = (await cluster.getPod("no-command")).status.containerStatuses ?? [];
  assert.equal(status?.state.terminated?.reason, "StartError");
  assert.equal(status?.state.terminated?.exitCode, 128);
  assert.match(status?.state.terminated?.message ?? "", /\/no\/such\/command/);
  const exec = await cluster.kubectl(["exec", "no-command", "--", "true"]);
  assert.notEqual(exec.code, 0);
});

scenario("a pod that fits nowhere says why, per node, and is placed when something changes", async (cluster) => {
  await cluster.apply(shellPod("huge", "exec sleep 1000", { container: { resources: { requests: { cpu: "1000" } } } }));
  const condition = await until("the refusal", async () =>
    (await cluster.getPod("huge")).status.conditions?.find(({ type, status }) => type === "PodScheduled" && status === "False"),
  );
  assert.equal(condition.reason, "Unschedulable");
  assert.match(condition.message ?? "", /0\/3 nodes are available: 3 Insufficient cpu/);
  assert.match(await cluster.kubectlOk(["describe", "pod", "huge"]), /FailedScheduling/);
});

scenario("a pod whose port is taken waits, says so, and runs when it is free", async (cluster) => {
  const withPort = (name: string) =>
    shellPod(name, "exec sleep 1000", {
      container: { ports: [{ containerPort: 80, hostPort: 28_080 }] },
      pod: { nodeSelector: { "kubernetes.io/hostname": "node-1" } },
    });
  await cluster.apply(withPort("first"));
  await cluster.waitReady("first");
  await cluster.apply(withPort("second"));
  await until("the second pod says what it waits for", async () => {
    const scheduled = (await cluster.getPod("second")).status.conditions?.find(({ type }) => type === "PodScheduled");
    return /free ports/.test(scheduled?.message ?? "") ? true : undefined;
  });
  await cluster.kubectlOk(["delete", "pod", "first"]);
  await cluster.waitReady("second");
});

scenario("a node selector that no node satisfies is satisfied by a label", async (cluster) => {
  await cluster.apply(shellPod("picky", "exec sleep 1000", { pod: { nodeSelector: { [`disk-${cluster.namespace}`]: "fast" } } }));
  await until("the refusal", async () =>
    (await cluster.getPod("picky")).status.conditions?.find(({ message }) =>
      /didn't match Pod's node affinity\/selector/.test(message ?? ""),
    ),
  );
  await cluster.kubectlOk(["label", "node", "node-2", `disk-${cluster.namespace}=fast`]);
  try {
    await cluster.waitReady("picky");
    assert.equal((await cluster.getPod("picky")).spec.nodeName, "node-2");
  } finally {
    await cluster.kubectlOk(["label", "node", "node-2", `disk-${cluster.namespace}-`]);
  }
});

scenario("without credentials there is nothing but health", async (cluster) => {
  const server = (await cluster.kubectlOk(["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"])).trim();
  const stranger = ["--kubeconfig", "/dev/null", "--server", server, "--insecure-skip-tls-verify", "--token", "made-up"];
  const pods = await cluster.kubectl([...stranger, "get", "pods"]);
  assert.equal(pods.code, 1);
  assert.match(pods.stderr, /must be logged in|Unauthorized/);
  const anonymous = { rejectUnauthorized: false };
  assert.equal(await statusOf(`${server}/readyz`, anonymous), 200);
  assert.equal(await statusOf(`${server}/api/v1/pods`, anonymous), 401);
});

async function statusOf(url: string, options: https.RequestOptions): Promise<number | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  https
    .get(url, options, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
    .on("error", reject);
  return await promise;
}

scenario("a command whose caller has gone is ended", async (cluster) => {
  await cluster.apply(shellPod("abandoned", "exec sleep 1000"));
  await cluster.waitReady("abandoned");
  const running = async (): Promise<boolean> => /sleep 4321/.test(await cluster.kubectlOk(["exec", "abandoned", "--", "ps"]));
  const caller = cluster.kubectl(["exec", "abandoned", "--", "sleep", "4321"], { timeoutMs: 8_000 }).catch(() => undefined);
  await until("the command to run", async () => ((await running()) ? true : undefined));
  await caller;
  await until("the command to end", async () => ((await running()) ? undefined : true));
});
