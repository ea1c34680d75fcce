import assert from "node:assert/strict";
import { until } from "../harness/cluster.ts";
import { scenario, shellPod } from "../harness/scenario.ts";

scenario("one volume is projected from a ConfigMap, a Secret and the pod itself, and follows them all", async (cluster) => {
  const config = (greeting: string) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "config" }, data: { greeting } });
  const sources = [
    { configMap: { name: "config", items: [{ key: "greeting", path: "words/greeting" }] } },
    { secret: { name: "secret", items: [{ key: "password", path: "password", mode: 0o400 }] } },
    {
      downwardAPI: {
        items: [
          { path: "labels", fieldRef: { fieldPath: "metadata.labels" } },
          { path: "note", fieldRef: { fieldPath: "metadata.annotations['example.com/note']" } },
          { path: "memory", resourceFieldRef: { containerName: "main", resource: "limits.memory", divisor: "1Mi" } },
        ],
      },
    },
    { configMap: { name: "not-there", optional: true } },
  ];
  await cluster.apply(
    config("hello"),
    { apiVersion: "v1", kind: "Secret", metadata: { name: "secret" }, stringData: { password: "hunter2" } },
    shellPod("all", "exec sleep 1000", {
      container: {
        resources: { limits: { memory: "64Mi" } },
        volumeMounts: [{ name: "all", mountPath: "/all" }],
      },
      pod: { volumes: [{ name: "all", projected: { defaultMode: 0o440, sources } }] },
    }),
  );
  await cluster.waitReady("all");
  const shell = async (script: string) => (await cluster.kubectlOk(["exec", "all", "--", "sh", "-c", script])).trim();
  const cat = (file: string) => shell(`cat /all/${file}`);
  assert.equal(await shell("cd /all; ls; stat -Lc %a password words/greeting"), "labels\nmemory\nnote\npassword\nwords\n400\n440");
  assert.deepEqual(
    [await cat("words/greeting"), await cat("password"), await cat("labels"), await cat("note"), await cat("memory")],
    ["hello", "hunter2", 'app="all"', "", "64"],
  );
  assert.equal(await shell("grep ' /all ' /proc/mounts | cut -d' ' -f3"), "tmpfs");

  // What the agent writes the container cannot prepare against it.
  assert.match(await shell("rm /all/..data 2>&1; ln -s /etc /all/planted 2>&1; true"), /Read-only file system.*Read-only file system/s);

  await cluster.kubectlOk(["label", "pod", "all", "tier=front"]);
  await cluster.kubectlOk(["annotate", "pod", "all", "example.com/note=read me"]);
  await until("the pod's new labels and annotation in its volume", async () =>
    (await shell("cat /all/labels; echo; cat /all/note")) === 'app="all"\ntier="front"\nread me' ? true : undefined,
  );
  await cluster.apply(config("changed"));
  await until("the ConfigMap's new content", async () => ((await cat("words/greeting")) === "changed" ? true : undefined));
  assert.equal((await cluster.getPod("all")).status.containerStatuses?.[0]?.restartCount, 0);
});

scenario("a token of a service account is refused, and the refusal says what there is", async (cluster) => {
  const volumes = [{ name: "token", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } }];
  const { code, stderr } = await cluster.kubectl(["create", "-f", "-"], {
    input: JSON.stringify(shellPod("token", "true", { pod: { volumes } })),
  });
  assert.equal(code, 1);
  assert.match(
    stderr,
    /sources\[0\]\.serviceAccountToken: Forbidden: .*not supported yet; supported are configMap, secret and downwardAPI/,
  );
});
