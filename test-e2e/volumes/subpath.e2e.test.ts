import assert from "node:assert/strict";
import { exampleImage, until } from "../harness/cluster.ts";
import { scenario, shellPod } from "../harness/scenario.ts";

const sleeping = { image: exampleImage, command: ["sleep", "1000"] };

scenario("containers see parts of volumes, by subPath and subPathExpr", async (cluster) => {
  const config = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "settings" }, data: { "app.conf": "port=80\n", other: "" } };
  const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "keys" }, stringData: { key: "s3cret" } };
  const writer = {
    ...sleeping,
    name: "writer",
    env: [{ name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
    volumeMounts: [
      { name: "data", mountPath: "/logs", subPathExpr: "logs/$(POD)" },
      { name: "data", mountPath: "/frozen", subPath: "logs", readOnly: true },
      { name: "settings", mountPath: "/etc/app.conf", subPath: "app.conf" },
      { name: "keys", mountPath: "/run/key", subPath: "key" },
    ],
  };
  const reader = { ...sleeping, name: "reader", volumeMounts: [{ name: "data", mountPath: "/data" }] };
  const volumes = [
    { name: "data", emptyDir: {} },
    { name: "settings", configMap: { name: "settings" } },
    { name: "keys", secret: { secretName: "keys" } },
  ];
  const pod = { securityContext: { fsGroup: 2000 }, containers: [writer, reader], volumes };
  await cluster.apply(config, secret, shellPod("parts", "", { pod }));
  await cluster.waitReady("parts");
  const shell = async (container: string, script: string) =>
    (await cluster.kubectlOk(["exec", "parts", "-c", container, "--", "sh", "-c", script])).trim();
  assert.equal(await shell("writer", "echo line > /logs/today; cat /etc/app.conf /run/key"), "port=80\ns3cret");
  assert.equal(
    await shell("reader", "cat /data/logs/parts/today; stat -c '%a %g' /data/logs /data/logs/parts"),
    "line\n2777 2000\n2777 2000",
  );
  assert.equal(
    await shell("writer", "cat /frozen/parts/today; touch /frozen/x 2>&1 || true"),
    "line\ntouch: /frozen/x: Read-only file system",
  );
});

scenario("a link in a volume shows no file of the node by subPath, and the container waits until it is gone", async (cluster) => {
  const planter = { ...sleeping, name: "planter", command: ["sh", "-c", "ln -s /etc /data/way; exec sleep 1000"] };
  const victim = { ...sleeping, name: "victim", volumeMounts: [{ name: "data", mountPath: "/seen", subPath: "way" }] };
  const pod = {
    initContainers: [
      {
        ...planter,
        restartPolicy: "Always",
        startupProbe: { exec: { command: ["test", "-L", "/data/way"] }, periodSeconds: 1 },
        volumeMounts: [{ name: "data", mountPath: "/data" }],
      },
    ],
    containers: [victim],
    volumes: [{ name: "data", emptyDir: {} }],
  };
  await cluster.apply(shellPod("sly", "", { pod }));
  const waiting = await until("the refusal in the status", async () => {
    const [status] = (await cluster.getPod("sly")).status.containerStatuses ?? [];
    return status?.state.waiting?.reason === "CreateContainerConfigError" ? status.state.waiting : undefined;
  });
  assert.match(waiting.message ?? "", /way leads out of the volume/);
  await cluster.kubectlOk(["exec", "sly", "-c", "planter", "--", "rm", "/data/way"]);
  await cluster.waitReady("sly");
  assert.equal((await cluster.kubectlOk(["exec", "sly", "-c", "victim", "--", "ls", "/seen"])).trim(), "");
});

scenario("paths that leave the volume, and propagation to the node, are refused when the pod is made", async (cluster) => {
  const withMount = (mount: object) =>
    JSON.stringify(
      shellPod("refused", "true", {
        container: { volumeMounts: [{ name: "data", mountPath: "/data", ...mount }] },
        pod: { volumes: [{ name: "data", emptyDir: {} }] },
      }),
    );
  for (const [mount, message] of [
    [{ subPath: "a/../../b" }, /volumeMounts\[0\]\.subPath: Invalid value: "a\/\.\.\/\.\.\/b": must not contain '\.\.'/],
    [{ subPath: "/etc" }, /subPath: Invalid value: "\/etc": must be a relative path/],
    [{ subPath: "a", subPathExpr: "b" }, /subPathExpr and subPath are mutually exclusive/],
    [{ mountPropagation: "Bidirectional" }, /available only to privileged containers/],
  ] as const) {
    const { code, stderr } = await cluster.kubectl(["create", "-f", "-"], { input: withMount(mount) });
    assert.equal(code, 1);
    assert.match(stderr, message);
  }
});
