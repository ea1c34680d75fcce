import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { type CommandResult, startTestApi, type TestApi } from "./testing/test-api.ts";

/*
 * What people type, with the real kubectl. Each test has names of its own.
 */

let api: TestApi;
before(async () => {
  api = await startTestApi();
});
after(() => api[Symbol.asyncDispose]());

/** Runs kubectl and wants success; its stdout. */
async function kubectl(...args: string[]): Promise<string> {
  return succeed(await api.kubectl(args), args);
}

async function apply(manifest: string, ...args: string[]): Promise<string> {
  return succeed(await api.kubectl(["apply", "-f", "-", ...args], manifest), ["apply"]);
}

function succeed({ code, stdout, stderr }: CommandResult, args: readonly string[]): string {
  assert.equal(code, 0, `kubectl ${args.join(" ")}: ${stderr}${stdout}`);
  return stdout;
}

function podManifest(name: string, more = ""): string {
  return `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  labels:
    app: ${name}
spec:
  containers:
  - name: web
    image: example/web:1
${more}`;
}

test("apply creates, then finds nothing to change, then changes", async () => {
  assert.equal(await apply(podManifest("applied")), "pod/applied created\n");
  assert.equal(await apply(podManifest("applied")), "pod/applied unchanged\n");
  assert.equal(await apply(podManifest("applied").replace("web:1", "web:2")), "pod/applied configured\n");
  assert.equal(await kubectl("get", "pod", "applied", "-o", "jsonpath={.spec.containers[0].image}"), "example/web:2");
});

test("apply takes a List apart, for which it asks for the old OpenAPI", async () => {
  const item = (name: string) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { a: "1" } });
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: [item("listed-1"), item("listed-2")] });
  for (const verdict of ["created", "unchanged"])
    assert.equal(await apply(list), ["listed-1", "listed-2"].map((name) => `configmap/${name} ${verdict}\n`).join(""));
  const old = await api.http.get("/openapi/v2");
  assert.deepEqual([old.status, old.json.swagger], [200, "2.0"]);
});

test("apply removes what is no longer in the manifest", async () => {
  const manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: pruned\ndata:\n  a: '1'\n  b: '2'\n";
  await apply(manifest);
  await apply(manifest.replace("  b: '2'\n", ""));
  assert.equal(await kubectl("get", "cm", "pruned", "-o", "jsonpath={.data}"), '{"a":"1"}');
});

test("apply of a misspelt field says where and what was meant", async () => {
  const { code, stderr } = await api.kubectl(["apply", "-f", "-"], podManifest("misspelt", "    imagePulPolicy: Always\n"));
  assert.equal(code, 1);
  assert.match(stderr, /strict decoding error: spec\.containers\[0\]\.imagePulPolicy: unknown field, did you mean imagePullPolicy\?/);
  assert.match(
    await succeed(
      await api.kubectl(
        ["apply", "--validate=warn", "--dry-run=server", "-f", "-"],
        podManifest("misspelt", "    imagePulPolicy: Always\n"),
      ),
      [],
    ),
    /created \(server dry run\)/,
  );
});

test("apply of an invalid pod says all that is wrong", async () => {
  const { code, stderr } = await api.kubectl(["apply", "-f", "-"], podManifest("Bad_Name", "    resources: {limits: {cpu: much}}\n"));
  assert.equal(code, 1);
  assert.match(stderr, /^The Pod "Bad_Name" is invalid:/);
  assert.match(stderr, /\* metadata\.name: Invalid value: "Bad_Name"/);
  assert.match(stderr, /\* spec\.containers\[0\]\.resources\.limits\[cpu\]: Invalid value/);
});

test("get shows pods as people, programs and scripts want them", async () => {
  await kubectl("create", "ns", "forms");
  await apply(podManifest("shown"), "-n", "forms");
  const get = (...args: string[]) => kubectl("get", "pods", "-n", "forms", ...args);
  assert.match(await get(), /^NAME +READY +STATUS +RESTARTS +AGE\nshown +0\/1 +Pending +0 +\d+s\n$/);
  assert.match(await get("-o", "wide"), /^NAME .* IP +NODE +NOMINATED NODE +READINESS GATES\nshown .*<none> +<none> +<none> +<none>\n$/);
  assert.equal(await get("-o", "name"), "pod/shown\n");
  assert.equal(await get("-o", "jsonpath={.items[0].metadata.name}"), "shown");
  assert.equal(JSON.parse(await get("-o", "json")).items[0].kind, "Pod");
  assert.match(await get("-o", "yaml"), /^ {4}name: shown$/m);
  assert.match(await get("--show-labels"), /app=shown/);
  assert.match(await kubectl("get", "pods", "-A"), /^forms +shown /m);
  assert.match(await get("-l", "app=shown"), /shown/);
  assert.equal(await get("-l", "app!=shown"), "");
  assert.match(await get("--field-selector", "status.phase=Pending"), /shown/);
  assert.match(await kubectl("get", "all", "-n", "forms"), /shown/);
});

test("get in chunks shows each object once, and sorts what it has", async () => {
  await kubectl("create", "ns", "chunks");
  const names = ["a", "b", "c", "d", "e"];
  for (const name of names) await apply(podManifest(name), "-n", "chunks");
  for (const size of ["0", "1", "2", "5"])
    assert.equal(
      await kubectl("get", "pods", "-n", "chunks", "-o", "name", `--chunk-size=${size}`),
      names.map((name) => `pod/${name}\n`).join(""),
    );
  const sorted = await kubectl(
    "get",
    "pods",
    "-n",
    "chunks",
    "--chunk-size=2",
    "--sort-by={.metadata.uid}",
    "-o",
    "jsonpath={.items[*].metadata.uid}",
  );
  const uids = sorted.split(" ");
  assert.deepEqual(uids, [...uids].sort());
  assert.equal(uids.length, names.length);
});

test("get of what is not there says so", async () => {
  const { code, stderr } = await api.kubectl(["get", "pod", "nobody"]);
  assert.deepEqual([code, stderr], [1, 'Error from server (NotFound): pods "nobody" not found\n']);
});

test("get -w goes on as things happen", async () => {
  await kubectl("create", "ns", "watched");
  const child = spawn("kubectl", ["get", "pods", "-w", "-n", "watched"], {
    env: { ...process.env, KUBECONFIG: api.kubeconfig },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () =>
    String((await lines.next()).value)
      .split(/ +/)
      .slice(0, 3)
      .join(" ");
  // Without pods kubectl says nothing before the first, so it may start at any time.
  await apply(podManifest("seen"), "-n", "watched");
  assert.equal(await next(), "NAME READY STATUS");
  assert.equal(await next(), "seen 0/1 Pending");
  await api.registry.pods.mutate("watched", "seen", (pod) => ({ ...pod, status: { ...pod.status, phase: "Running" } }));
  assert.equal(await next(), "seen 0/1 Running");
  child.kill();
  await once(child, "close");
});

test("describe tells the story of a pod, with its events", async () => {
  await apply(podManifest("described"));
  const uid = await kubectl("get", "pod", "described", "-o", "jsonpath={.metadata.uid}");
  api.events.push({
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: "described.1", namespace: "default", resourceVersion: "1" },
    involvedObject: { apiVersion: "v1", kind: "Pod", namespace: "default", name: "described", uid },
    reason: "FailedScheduling",
    message: "no room",
    type: "Warning",
    count: 2,
    source: { component: "tessera-scheduler" },
    firstTimestamp: new Date().toISOString(),
    lastTimestamp: new Date().toISOString(),
  });
  const text = await kubectl("describe", "pod", "described");
  assert.match(text, /^Status: +Pending$/m);
  assert.match(text, /Warning +FailedScheduling +\d+s \(x2 over \d+s\) +tessera-scheduler +no room/);
  assert.match(await kubectl("get", "events"), /Warning +FailedScheduling +pod\/described +no room/);
  assert.match(await kubectl("get", "events", "--field-selector", "involvedObject.name=described"), /no room/);
  assert.match(await kubectl("events", "--for", "pod/described"), /no room/);
  for (const object of ["ns/default", "cm", "sa"]) await kubectl("describe", object);
});

test("explain reads the schema", async () => {
  assert.match(await kubectl("explain", "pod.spec.containers.image"), /FIELD: image <string>/);
  assert.match(await kubectl("explain", "lease.spec"), /holderIdentity\t<string>/);
  assert.match(await kubectl("explain", "pod", "--recursive"), /terminationGracePeriodSeconds/);
});

test("api-resources and api-versions name all there is", async () => {
  const text = await kubectl("api-resources");
  for (const row of [
    /^pods +po +v1 +true +Pod$/m,
    /^namespaces +ns +v1 +false +Namespace$/m,
    /^leases +coordination\.k8s\.io\/v1 +true +Lease$/m,
  ])
    assert.match(text, row);
  const versions = [
    "authentication.k8s.io/v1",
    "authorization.k8s.io/v1",
    "coordination.k8s.io/v1",
    "events.k8s.io/v1",
    "metrics.k8s.io/v1beta1",
    "policy/v1",
    "v1",
  ];
  assert.deepEqual((await kubectl("api-versions")).trim().split("\n"), versions);
});

test("label, annotate and patch change what they name", async () => {
  await apply(podManifest("changed"));
  assert.equal(await kubectl("label", "pod", "changed", "tier=front"), "pod/changed labeled\n");
  assert.equal(await kubectl("annotate", "pod", "changed", "note=hello"), "pod/changed annotated\n");
  assert.equal(await kubectl("label", "pod", "changed", "tier-"), "pod/changed unlabeled\n");
  assert.equal(
    await kubectl("patch", "pod", "changed", "-p", '{"spec":{"containers":[{"name":"web","image":"example/web:3"}]}}'),
    "pod/changed patched\n",
  );
  assert.equal(
    await kubectl("patch", "pod", "changed", "--type=json", "-p", '[{"op":"remove","path":"/metadata/annotations/note"}]'),
    "pod/changed patched\n",
  );
  const pod = JSON.parse(await kubectl("get", "pod", "changed", "-o", "json"));
  assert.deepEqual(
    [pod.metadata.labels, pod.metadata.annotations.note, pod.spec.containers[0].image],
    [{ app: "changed" }, undefined, "example/web:3"],
  );
});

test("edit brings the object to an editor and takes it back", async () => {
  await apply(podManifest("edited"));
  const editor = join(api.dir, "editor.sh");
  await writeFile(editor, '#!/bin/sh\nsed -i "s/app: edited/app: by-hand/" "$1"\n');
  await chmod(editor, 0o755);
  assert.match(succeed(await api.kubectl(["edit", "pod", "edited"], undefined, { KUBE_EDITOR: editor }), ["edit"]), /pod\/edited edited/);
  assert.equal(await kubectl("get", "pod", "edited", "-o", "jsonpath={.metadata.labels.app}"), "by-hand");
});

test("create makes the kinds that it knows by itself", async () => {
  assert.equal(await kubectl("create", "ns", "made"), "namespace/made created\n");
  assert.equal(await kubectl("create", "configmap", "made", "--from-literal=a=b"), "configmap/made created\n");
  assert.equal(await kubectl("create", "secret", "generic", "made", "--from-literal=a=b"), "secret/made created\n");
  assert.equal(await kubectl("create", "sa", "made"), "serviceaccount/made created\n");
  assert.equal(await kubectl("get", "secret", "made", "-o", "jsonpath={.data.a}"), Buffer.from("b").toString("base64"));
  assert.match(await kubectl("get", "cm,secret,sa"), /configmap\/made +1 [\s\S]*\n\nNAME +TYPE +DATA +AGE\nsecret\/made +Opaque +1 /);
  assert.equal(await kubectl("run", "made", "--image=x", "--restart=Never"), "pod/made created\n");
});

test("replace and diff", async () => {
  await apply(podManifest("replaced"));
  const manifest = podManifest("replaced").replace("web:1", "web:9");
  const diff = await api.kubectl(["diff", "-f", "-"], manifest);
  assert.equal(diff.code, 1);
  assert.match(diff.stdout, /^-.*example\/web:1$/m);
  assert.match(diff.stdout, /^\+.*example\/web:9$/m);
  assert.equal(succeed(await api.kubectl(["replace", "-f", "-"], manifest), ["replace"]), "pod/replaced replaced\n");
  assert.equal(
    succeed(await api.kubectl(["replace", "--force", "-f", "-"], manifest), ["replace"]),
    'pod "replaced" deleted\npod/replaced replaced\n',
  );
});

test("wait waits for a condition, for deletion, and no longer than told", async () => {
  await apply(podManifest("waited"));
  const ready = kubectl("wait", "--for=condition=Ready", "pod/waited", "--timeout=20s");
  const conditions = [{ type: "Ready", status: "True" }];
  await api.registry.pods.mutate("default", "waited", (pod) => ({ ...pod, status: { ...pod.status, phase: "Running", conditions } }));
  assert.equal(await ready, "pod/waited condition met\n");
  // Says nothing if the pod went before it looked.
  const gone = kubectl("wait", "--for=delete", "pod/waited", "--timeout=20s");
  await kubectl("delete", "pod", "waited", "--wait=false");
  assert.match(await gone, /^(pod\/waited condition met\n)?$/);
  const late = await api.kubectl(["wait", "--for=condition=Ready", "ns/default", "--timeout=1s"]);
  assert.deepEqual([late.code, late.stderr], [1, "error: timed out waiting for the condition on namespaces/default\n"]);
});

test("wait waits for a field, with and without a value", async () => {
  await apply(podManifest("field"));
  const phase = kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/field", "--timeout=20s");
  const address = kubectl("wait", "--for=jsonpath={.status.podIP}", "pod/field", "--timeout=20s");
  await api.registry.pods.mutate("default", "field", (pod) => ({
    ...pod,
    status: { ...pod.status, phase: "Running", podIP: "10.64.1.2" },
  }));
  for (const met of [phase, address]) assert.equal(await met, "pod/field condition met\n");
  const late = await api.kubectl(["wait", "--for=jsonpath={.status.phase}=Failed", "pod/field", "--timeout=1s"]);
  assert.deepEqual([late.code, late.stderr], [1, "error: timed out waiting for the condition on pods/field\n"]);
});

test("delete waits until the pod is gone, and says when it was not there", async () => {
  await apply(podManifest("deleted"));
  assert.equal(await kubectl("delete", "pod", "deleted"), 'pod "deleted" deleted\n');
  const again = await api.kubectl(["delete", "pod", "deleted"]);
  assert.deepEqual([again.code, again.stderr], [1, 'Error from server (NotFound): pods "deleted" not found\n']);
  assert.equal(await kubectl("delete", "pod", "deleted", "--ignore-not-found"), "");
});

test("delete of a pod on a node waits for the node", async () => {
  await apply(podManifest("held", "  nodeName: node-1\n"));
  const deletion = kubectl("delete", "pod", "held", "--grace-period=9");
  const stop = new AbortController();
  for await (const events of api.registry.pods.cache.watch(api.registry.pods.cache.revision, stop.signal)) {
    const pod = events.find((event) => event.object.name === "held")?.object.value;
    if (pod?.metadata?.deletionGracePeriodSeconds === 9) break;
  }
  await api.registry.pods.remove("default", "held", { graceSeconds: 0 });
  assert.equal(await deletion, 'pod "held" deleted\n');
});

test("delete --force does not wait for the node, and --now waits a second", async () => {
  for (const name of ["forced", "soon"]) await apply(podManifest(name, "  nodeName: node-1\n"));
  const { code, stdout, stderr } = await api.kubectl(["delete", "pod", "forced", "--grace-period=0", "--force"]);
  assert.deepEqual([code, stdout], [0, 'pod "forced" force deleted\n']);
  assert.match(stderr, /Immediate deletion does not wait for confirmation/);
  assert.equal((await api.kubectl(["get", "pod", "forced"])).code, 1);
  await kubectl("delete", "pod", "soon", "--now", "--wait=false");
  assert.equal(await kubectl("get", "pod", "soon", "-o", "jsonpath={.metadata.deletionGracePeriodSeconds}"), "1");
});

test("delete --cascade=orphan keeps what was owned", async () => {
  await apply("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: owner\n  finalizers: [example.com/look]\n");
  await kubectl("delete", "cm", "owner", "--cascade=orphan", "--wait=false");
  const finalizers = await kubectl("get", "cm", "owner", "-o", "jsonpath={.metadata.finalizers}");
  assert.deepEqual(JSON.parse(finalizers), ["example.com/look", "orphan"]);
});

test("delete by label and delete --all", async () => {
  await kubectl("create", "ns", "cleared");
  for (const name of ["p1", "p2", "p3"]) await apply(podManifest(name), "-n", "cleared");
  assert.equal(await kubectl("delete", "pods", "-l", "app in (p1,p2)", "-n", "cleared"), 'pod "p1" deleted\npod "p2" deleted\n');
  assert.equal(await kubectl("delete", "pods", "--all", "-n", "cleared"), 'pod "p3" deleted\n');
});

test("nodes are cordoned and tainted", async () => {
  await api.registry.nodes.create({ apiVersion: "v1", kind: "Node", metadata: { name: "edge" } });
  assert.equal(await kubectl("cordon", "edge"), "node/edge cordoned\n");
  assert.match(await kubectl("get", "node", "edge"), /^edge +Unknown,SchedulingDisabled +<none>/m);
  assert.equal(await kubectl("uncordon", "edge"), "node/edge uncordoned\n");
  assert.equal(await kubectl("taint", "node", "edge", "a=b:NoSchedule"), "node/edge tainted\n");
  assert.match(await kubectl("describe", "node", "edge"), /Taints: +a=b:NoSchedule/);
});

test("who am I, and which version is this", async () => {
  assert.match(await kubectl("auth", "whoami"), /^Username +admin$/m);
  assert.match(await kubectl("version"), /Server Version: v1\.36\./);
  const kubeconfig = (await readFile(api.kubeconfig, "utf8"))
    .replace(/client-key-data: .*/, "client-key-data: ''")
    .replace(/client-certificate-data: .*/, "client-certificate-data: ''");
  await writeFile(join(api.dir, "stranger"), kubeconfig);
  const { code, stderr } = await api.kubectl(["get", "pods", "--kubeconfig", join(api.dir, "stranger"), "--token=wrong-token-of-length"]);
  assert.equal(code, 1);
  assert.match(stderr, /You must be logged in to the server/);
});

test("malformed YAML never reaches the server in one piece", async () => {
  const { code, stderr } = await api.kubectl(["apply", "-f", "-"], "apiVersion: v1\nkind: Pod\n  metadata: x\n");
  assert.equal(code, 1);
  assert.match(stderr, /error (parsing|converting)/);
});
