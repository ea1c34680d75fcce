import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

scenario("a pod has a token that says who it is, for as long as it lives", async (cluster) => {
  const folder = "/var/run/secrets/kubernetes.io/serviceaccount";
  const script = "trap 'exit 0' TERM; sleep 1000 & wait";
  const builder = { serviceAccountName: "builder", securityContext: { runAsUser: 1000 } };
  await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "builder" } });
  await cluster.apply(
    shellPod("plain", script),
    shellPod("built", script, { pod: builder }),
    shellPod("bare", script, { pod: { automountServiceAccountToken: false } }),
  );
  await cluster.waitReady("plain", "built", "bare");
  const shell = async (pod: string, command: string) =>
    (await cluster.kubectlOk(["exec", pod, "--", "sh", "-c", `cd ${folder}; ${command}`])).trim();

  assert.equal(await shell("built", "cat namespace; stat -Lc ' %a %u' token"), `${cluster.namespace} 600 1000`);
  assert.equal(await shell("plain", "stat -Lc '%a %u' token"), "644 0");
  assert.match(await shell("built", `grep ${folder} /proc/mounts`), /^tmpfs \S+ tmpfs ro,/);
  assert.equal((await cluster.kubectl(["exec", "bare", "--", "ls", folder])).code, 1);

  // What a program in the pod would do, with nothing but what it finds there.
  const view = JSON.parse(await cluster.kubectlOk(["config", "view", "--minify", "-o", "json"])) as {
    clusters: { cluster: { server: string } }[];
  };
  const directory = await mkdtemp(join(tmpdir(), "tessera-token-"));
  try {
    const ca = join(directory, "ca.crt");
    await writeFile(ca, await shell("built", "cat ca.crt"));
    const access = [
      `--server=${view.clusters[0]?.cluster.server}`,
      `--certificate-authority=${ca}`,
      `--token=${await shell("built", "cat token")}`,
    ];
    const asPod = (...args: string[]) => cluster.kubectl([...access, ...args], { env: { KUBECONFIG: "/dev/null" } });
    const whoami = await asPod("auth", "whoami");
    assert.match(whoami.stdout, new RegExp(`Username +system:serviceaccount:${cluster.namespace}:builder\n`), whoami.stderr);
    assert.match(whoami.stdout, /pod-name +\[built\]/);
    assert.match((await asPod("get", "secrets")).stderr, /Forbidden.*service accounts may only discover/);
    await cluster.kubectlOk(["delete", "pod", "built"]);
    assert.match((await asPod("auth", "whoami")).stderr, /Unauthorized|must be logged in/);
  } finally {
    await rm(directory, { recursive: true });
  }
  const lost = JSON.stringify(shellPod("lost", script, { pod: { serviceAccountName: "nobody" } }));
  assert.match((await cluster.kubectl(["create", "-f", "-"], { input: lost })).stderr, /serviceaccount "nobody" not found/);
});
