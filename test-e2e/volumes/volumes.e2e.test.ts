import assert from "node:assert/strict";
import { exampleImage, until } from "../harness/cluster.ts";
import { scenario, shellPod } from "../harness/scenario.ts";

scenario("ConfigMaps and Secrets arrive as files and environment, and files follow their changes", async (cluster) => {
  const config = (greeting: string) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "config" },
    data: { greeting, other: "unused" },
  });
  await cluster.apply(
    config("hello"),
    { apiVersion: "v1", kind: "Secret", metadata: { name: "secret" }, stringData: { password: "hunter2" } },
    shellPod("reader", "exec sleep 1000", {
      container: {
        env: [
          { name: "PASSWORD", valueFrom: { secretKeyRef: { name: "secret", key: "password" } } },
          { name: "SENTENCE", value: "$(GREETING) and $(PASSWORD) and $$(ESCAPED)" },
          { name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
        ],
        envFrom: [{ prefix: "CONFIG_", configMapRef: { name: "config" } }],
        volumeMounts: [
          { name: "config", mountPath: "/config" },
          { name: "secret", mountPath: "/secret", readOnly: true },
        ],
      },
      pod: {
        volumes: [
          { name: "config", configMap: { name: "config", items: [{ key: "greeting", path: "deep/greeting.txt" }] } },
          { name: "secret", secret: { secretName: "secret", defaultMode: 0o400 } },
        ],
      },
    }),
  );
  await cluster.waitReady("reader");
  const shell = async (script: string) => (await cluster.kubectlOk(["exec", "reader", "--", "sh", "-c", script])).trim();
  assert.equal(await shell("cat /config/deep/greeting.txt"), "hello");
  assert.equal(await shell("ls /config"), "deep");
  assert.equal(await shell("cat /secret/password; stat -Lc ' %a' /secret/password"), "hunter2 400");
  assert.equal(await shell("grep ' /secret ' /proc/mounts | cut -d' ' -f3"), "tmpfs");
  assert.equal(await shell("echo $CONFIG_greeting $POD $PASSWORD"), "hello reader hunter2");
  assert.equal(await shell("echo $SENTENCE"), "$(GREETING) and hunter2 and $(ESCAPED)");

  await cluster.apply(config("changed"));
  await until("the new content in the running pod", async () =>
    (await shell("cat /config/deep/greeting.txt")) === "changed" ? true : undefined,
  );
});

scenario("an emptyDir is shared by the pod's containers, on disk or in memory", async (cluster) => {
  const mounts = [
    { name: "disk", mountPath: "/disk" },
    { name: "memory", mountPath: "/memory" },
  ];
  const reader = { name: "reader", image: exampleImage, command: ["sleep", "1000"], volumeMounts: mounts };
  const writer = {
    name: "writer",
    image: exampleImage,
    command: ["sh", "-c", "echo a > /disk/f; echo b > /memory/f; exec sleep 1000"],
    volumeMounts: mounts,
  };
  await cluster.apply(
    shellPod("pair", "", {
      pod: {
        containers: [writer, reader],
        volumes: [
          { name: "disk", emptyDir: {} },
          { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
        ],
      },
    }),
  );
  await cluster.waitReady("pair");
  const shell = (script: string) => cluster.kubectl(["exec", "pair", "-c", "reader", "--", "sh", "-c", script]);
  await until("the writer's files", async () => ((await shell("cat /disk/f /memory/f")).stdout === "a\nb\n" ? true : undefined));
  assert.match((await shell("dd if=/dev/zero of=/memory/big bs=64k count=32")).stderr, /No space left on device/);
});

scenario("a hostPath shows the node's files, and its type is checked", async (cluster) => {
  const withPath = (name: string, hostPath: object) =>
    shellPod(name, "exec sleep 1000", {
      container: { volumeMounts: [{ name: "host", mountPath: "/host", readOnly: true }] },
      pod: { volumes: [{ name: "host", hostPath }] },
    });
  await cluster.apply(
    withPath("there", { path: "/etc", type: "Directory" }),
    withPath("absent", { path: "/no/such/folder", type: "Directory" }),
  );
  await cluster.waitReady("there");
  assert.match(await cluster.kubectlOk(["exec", "there", "--", "cat", "/host/group"]), /^root:/);
  assert.match((await cluster.kubectl(["exec", "there", "--", "touch", "/host/x"])).stderr, /Read-only file system/);
  await until("the refusal as an event", async () =>
    /FailedMount.*\/no\/such\/folder/.test(await cluster.kubectlOk(["get", "events", "--field-selector", "involvedObject.name=absent"]))
      ? true
      : undefined,
  );
  const [status] = (await cluster.getPod("absent")).status.containerStatuses ?? [];
  assert.equal(status?.state.waiting?.reason, "ContainerCreating");
});

scenario("a pod that outgrows the limit of its emptyDir is evicted", async (cluster) => {
  await cluster.apply(
    shellPod("greedy", "dd if=/dev/zero of=/scratch/large bs=1M count=4 2>/dev/null; exec sleep 1000", {
      container: { volumeMounts: [{ name: "scratch", mountPath: "/scratch" }] },
      pod: { volumes: [{ name: "scratch", emptyDir: { sizeLimit: "2Mi" } }] },
    }),
  );
  const status = await until("the eviction", async () => {
    const { phase, reason, message } = (await cluster.getPod("greedy")).status;
    return phase === "Failed" ? { reason, message } : undefined;
  });
  assert.deepEqual(status, { reason: "Evicted", message: 'Usage of EmptyDir volume "scratch" exceeds the limit "2Mi".' });
});

scenario("what a privileged container mounts into a volume reaches those who want it, and goes with the pod", async (cluster) => {
  const mounting = "mkdir /v/sub && mount -t tmpfs none /v/sub && touch /v/sub/mark; exec sleep 1000";
  const container = (name: string, script: string, more: object, mount: object = {}) => ({
    ...{ name, image: exampleImage, command: ["sh", "-c", script], ...more },
    volumeMounts: [{ name: "data", mountPath: "/v", ...mount }],
  });
  await cluster.apply(
    shellPod("propagating", "", {
      pod: {
        volumes: [{ name: "data", emptyDir: {} }],
        containers: [
          container("maker", mounting, { securityContext: { privileged: true } }, { mountPropagation: "Bidirectional" }),
          container("wanting", "exec sleep 1000", {}, { mountPropagation: "HostToContainer" }),
        ],
      },
    }),
  );
  await cluster.waitReady("propagating");
  const list = () => cluster.kubectl(["exec", "propagating", "-c", "wanting", "--", "ls", "/v/sub"]);
  await until("the mark", async () => ((await list()).stdout === "mark\n" ? true : undefined));
});
