import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { FakeServer, status } from "../testing/fake-server.ts";
import { runTsctl } from "../testing/run.ts";

const event = (name: string, type: string, reason: string, time: string, count = 1) => ({
  metadata: { name },
  type,
  reason,
  message: `${reason} happened`,
  involvedObject: { kind: "Pod", name: "a" },
  firstTimestamp: "2026-11-21T11:50:00Z",
  lastTimestamp: time,
  count,
  source: { component: "agent" },
});

describe("events", () => {
  const list = {
    items: [event("2", "Warning", "BackOff", "2026-11-21T11:59:30Z", 5), event("1", "Normal", "Started", "2026-11-21T11:50:00Z")],
  };

  it("are shown in the order in which they happened", async () => {
    await using server = await FakeServer.start();
    server.on("GET /api/v1/namespaces/shop/events", { body: list });
    const { stdout } = await runTsctl(["events", "--for", "pod/a"], { server });
    assert.deepEqual(
      stdout.split("\n").map((line) => line.split(/ {2,}/)),
      [
        ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"],
        ["10m", "Normal", "Started", "pod/a", "Started happened"],
        ["30s (5 times over 10m)", "Warning", "BackOff", "pod/a", "BackOff happened"],
        [""],
      ],
    );
    assert.equal(server.requests.at(-1)?.query.get("fieldSelector"), "involvedObject.kind=Pod,involvedObject.name=a");
  });

  it("can be only those of one type", async () => {
    await using server = await FakeServer.start();
    server.on("GET /api/v1/events", { body: list });
    const { stdout } = await runTsctl(["events", "-A", "--types=warning", "-o", "jsonpath={.items[*].reason}"], { server });
    assert.equal(stdout, "BackOff");
  });
});

describe("describe", () => {
  it("tells of a pod why it does not run, with its events", async () => {
    await using server = await FakeServer.start();
    const state = { waiting: { reason: "CrashLoopBackOff", message: "back-off 10s" } };
    const lastState = { terminated: { reason: "OOMKilled", exitCode: 137, startedAt: "s", finishedAt: "f" } };
    server.on("GET /api/v1/namespaces/shop/pods/a", {
      body: {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "a", namespace: "shop", uid: "u", annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}" } },
        spec: {
          nodeName: "node-1",
          containers: [{ name: "main", image: "x", env: [{ name: "P", valueFrom: { secretKeyRef: { name: "s", key: "k" } } }] }],
        },
        status: { phase: "Running", hostIP: "10.0.0.1", containerStatuses: [{ name: "main", state, lastState, restartCount: 3 }] },
      },
    });
    server.on("GET /api/v1/namespaces/shop/events", { body: { items: [event("1", "Warning", "BackOff", "2026-11-21T11:59:30Z")] } });
    const { stdout } = await runTsctl(["describe", "pod", "a"], { server });
    for (const expected of [
      /^Name: +a$/m,
      /^Node: +node-1 \(10\.0\.0\.1\)$/m,
      /State: +Waiting: CrashLoopBackOff\n +back-off 10s$/m,
      /Last State: +Terminated: OOMKilled, exit code 137$/m,
      /Restart Count: +3$/m,
      /P: <key k of secret s>$/m,
      /Warning +BackOff +30s +agent +BackOff happened$/m,
    ]) {
      assert.match(stdout, expected);
    }
    assert.doesNotMatch(stdout, /last-applied/);
    assert.equal(server.requests.at(-1)?.query.get("fieldSelector"), "involvedObject.kind=Pod,involvedObject.name=a,involvedObject.uid=u");
  });

  it("shows the fields of kinds that it knows nothing of", async () => {
    await using server = await FakeServer.start();
    server.on("GET /apis/coordination.k8s.io/v1/namespaces/shop/leases/l", {
      body: { kind: "Lease", metadata: { name: "l" }, spec: { holderIdentity: "me" } },
    });
    server.on("GET /api/v1/namespaces/default/events", { body: { items: [] } });
    const { stdout } = await runTsctl(["describe", "lease/l"], { server });
    assert.match(stdout, /^spec:\n {2}holderIdentity: me$/m);
    assert.match(stdout, /^Events: +<none>$/m);
  });

  it("does what it can and tells what is not there", async () => {
    await using server = await FakeServer.start();
    const { code, stdout, stderr } = await runTsctl(["describe", "pod", "nope"], { server });
    assert.deepEqual([code, stdout, stderr], [1, "", 'error: pods "nope" not found\n']);
  });
});

describe("api-resources", () => {
  it("shows types by group, and only those asked for", async () => {
    await using server = await FakeServer.start();
    const all = await runTsctl(["api-resources"], { server });
    assert.match(all.stdout, /^NAME +SHORTNAMES +APIVERSION +NAMESPACED +KIND\nconfigmaps +cm +v1 +true +ConfigMap\n/);
    assert.match(all.stdout, /leases +coordination\.k8s\.io\/v1 +true +Lease\n$/);
    const some = await runTsctl(["api-resources", "--namespaced=false", "-o", "name"], { server });
    assert.equal(some.stdout, "namespaces\nnodes\n");
    const leases = await runTsctl(["api-resources", "--api-group=coordination.k8s.io", "-o", "name", "--verbs=list,get"], { server });
    assert.equal(leases.stdout, "leases.coordination.k8s.io\n");
  });
});

describe("explain", () => {
  const schemas = {
    Pod: {
      description: "A pod.",
      "x-kubernetes-group-version-kind": [{ group: "", version: "v1", kind: "Pod" }],
      properties: {
        kind: { type: "string", description: "Its kind." },
        spec: { allOf: [{ $ref: "#/components/schemas/io.k8s.PodSpec" }], description: "What should run." },
      },
    },
    "io.k8s.PodSpec": {
      type: "object",
      description: "A specification.",
      required: ["containers"],
      properties: {
        containers: { type: "array", description: "The containers.", items: { $ref: "#/components/schemas/io.k8s.Container" } },
      },
    },
    "io.k8s.Container": {
      type: "object",
      description: "A container.",
      properties: {
        imagePullPolicy: { type: "string", description: "When to pull.", enum: ["Always", "Never"], default: "Always" },
        env: { type: "object", additionalProperties: { type: "string" } },
      },
    },
  };
  const serve = async () =>
    (await FakeServer.start())
      .on("GET /openapi/v3", { body: { paths: { "api/v1": { serverRelativeURL: "/openapi/v3/api/v1?hash=1" } } } })
      .on("GET /openapi/v3/api/v1", { body: { components: { schemas } } });

  it("tells what a field means and may be", async () => {
    await using server = await serve();
    const { stdout } = await runTsctl(["explain", "pod.spec.containers.imagePullPolicy"], { server });
    assert.equal(
      stdout,
      "KIND:       Pod\nVERSION:    v1\n\nFIELD: imagePullPolicy <string>\n\nDESCRIPTION:\n    When to pull.\n\n    Possible values: Always, Never\n    Default: Always\n",
    );
  });

  it("tells the fields of a type, with theirs when asked", async () => {
    await using server = await serve();
    const plain = await runTsctl(["explain", "pod.spec"], { server });
    assert.match(
      plain.stdout,
      /FIELD: spec <PodSpec>\n\nDESCRIPTION:\n {4}What should run\.\n\n {4}A specification\.\n\nFIELDS:\n {2}containers\t<\[\]Container> -required-\n {6}The containers\./,
    );
    const deep = await runTsctl(["explain", "pod", "--recursive"], { server });
    assert.match(
      deep.stdout,
      /FIELDS:\n {2}kind\t<string>\n {2}spec\t<PodSpec>\n {4}containers\t<\[\]Container> -required-\n {6}env\t<map\[string\]string>\n/,
    );
  });

  it("guesses which field was meant", async () => {
    await using server = await serve();
    const { code, stderr } = await runTsctl(["explain", "pod.spec.containrs"], { server });
    assert.deepEqual([code, stderr], [1, 'error: pod.spec has no field "containrs", did you mean containers?\n']);
  });
});

describe("version", () => {
  it("shows both, and its own even when the server does not answer", async () => {
    await using server = (await FakeServer.start()).on("GET /version", { body: { gitVersion: "v1.32.0" } });
    assert.equal((await runTsctl(["version"], { server })).stdout, "tsctl:  0.1.0\nserver: v1.32.0\n");
    const alone = await runTsctl(["version"], { server: { url: "http://127.0.0.1:1" } });
    assert.deepEqual([alone.code, alone.stdout], [1, "tsctl:  0.1.0\n"]);
    assert.equal((await runTsctl(["version", "--client"])).code, 0);
  });
});

describe("images", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "image-"));
    await writeFile(join(folder, "image.tar"), "the archive");
  });
  after(async () => await rm(folder, { recursive: true }));
  const nodes = {
    body: {
      items: [
        { metadata: { name: "n1" }, status: { images: [{ names: ["x@sha256:1", "x:1"], sizeBytes: 1_100_000 }] } },
        { metadata: { name: "n2" } },
      ],
    },
  };

  it("go to all nodes, and one that refuses does not keep the others from them", async () => {
    await using server = (await FakeServer.start()).on("GET /api/v1/nodes", nodes);
    server.on("POST /api/v1/nodes/n1/images", { status: 201, body: { images: ["x:1"] } });
    server.on("POST /api/v1/nodes/n2/images", { status: 503, body: status("ServiceUnavailable", 'node "n2" has no session') });
    const { code, stdout, stderr } = await runTsctl(["image", "load", join(folder, "image.tar")], { server });
    assert.deepEqual([code, stdout, stderr], [1, "n1: x:1\n", 'error: n2: node "n2" has no session\n']);
    assert.deepEqual(
      server.asked("POST").map(({ body, headers }) => [body, headers["content-type"]]),
      [
        ["the archive", "application/x-tar"],
        ["the archive", "application/x-tar"],
      ],
    );
  });

  it("are read from a file that is there", async () => {
    await using server = await FakeServer.start();
    assert.match((await runTsctl(["image", "load", join(folder, "nope.tar")], { server })).stderr, /there is no file .*nope\.tar/);
    assert.match((await runTsctl(["image", "load", folder], { server })).stderr, /is no OCI layout: it holds no file "oci-layout"/);
  });

  it("are shown by name with the nodes that hold them", async () => {
    await using server = (await FakeServer.start()).on("GET /api/v1/nodes", nodes);
    assert.equal((await runTsctl(["image", "ls"], { server })).stdout, "IMAGE   SIZE     NODES\nx:1     1.1 MB   n1\n");
  });
});
