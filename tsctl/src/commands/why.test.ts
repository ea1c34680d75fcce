import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ContainerStatus, Pod } from "@tessera/proto";
import { FakeServer, status } from "../testing/fake-server.ts";
import { now, runTsctl } from "../testing/run.ts";

const path = "/api/v1/namespaces/shop/pods/a";
const ago = (seconds: number) => new Date(now - seconds * 1000).toISOString();

function pod(spec: Pod["spec"], podStatus: Pod["status"] = {}, metadata: Pod["metadata"] = {}): Pod {
  return {
    metadata: { name: "a", namespace: "shop", uid: "u", ...metadata },
    spec: { containers: [{ name: "main", image: "web:1" }], ...spec },
    status: { phase: "Pending", ...podStatus },
  };
}
const waiting = (reason: string, message?: string): ContainerStatus => ({ name: "main", state: { waiting: { reason, message } } });

async function serve(object: Pod, events: object[] = []): Promise<FakeServer> {
  const server = await FakeServer.start();
  return server.on(`GET ${path}`, { body: object }).on("GET /api/v1/namespaces/shop/events", { body: { items: events } });
}

async function why(server: FakeServer, ...flags: string[]): Promise<string> {
  const { code, stdout, stderr } = await runTsctl(["why", "pod/a", ...flags], { server });
  assert.deepEqual([code, stderr], [0, ""]);
  return stdout;
}

describe("why", () => {
  it("lists what each node says against a pod that has none", async () => {
    await using server = await serve(pod({}));
    const nodes = [
      { name: "n1", filter: "resources", reasons: ["Insufficient cpu", "Insufficient memory"] },
      { name: "n2", filter: "taints", reasons: ["node(s) had untolerated taint {gpu: yes}"] },
    ];
    server.on(`GET ${path}/scheduling`, { body: { status: { state: "Unschedulable", message: "0/2 nodes are available", nodes } } });
    assert.equal(
      await why(server),
      `pod shop/a is Pending, on no node yet

Waits:
  pod: 0/2 nodes are available
    n1: Insufficient cpu, Insufficient memory
    n2: node(s) had untolerated taint {gpu: yes}

Try:
  it asks for more cpu than any fitting node has left; ask for less (resources.requests), or make room: "tsctl describe nodes"
`,
    );
    const story = JSON.parse(await why(server, "-o", "json"));
    assert.deepEqual([story.kind, story.apiVersion, story.waits[0].on], ["PodStory", "tessera.dev/v1", "scheduling"]);
  });

  const peerReasons = {
    "pod anti-affinity with shop/b over kubernetes.io/hostname": "pods keep each other away (podAntiAffinity)",
    "pod affinity over zone: no pod that it wants to be near is in a": "no pod that it wants to be near is where it may go (podAffinity)",
    "spread over zone: would be 3 in a, at most 2 allowed": "its domains would be uneven (topologySpreadConstraints)",
    "node(s) didn't match Pod's node affinity/selector": "no node has the labels that it wants",
  };
  for (const [reason, hint] of Object.entries(peerReasons)) {
    it(`has advice for: ${reason}`, async () => {
      await using server = await serve(pod({}));
      const nodes = [{ name: "n1", filter: "any", reasons: [reason] }];
      server.on(`GET ${path}/scheduling`, { body: { status: { state: "Unschedulable", message: "0/1 nodes are available", nodes } } });
      assert.ok((await why(server)).includes(`\n    n1: ${reason}\n\nTry:\n  ${hint}`));
    });
  }

  it("says what the condition says when the server knows no more, and what gates hold it", async () => {
    const conditions = [{ type: "PodScheduled", status: "False", message: "no nodes available to schedule pods" }];
    await using server = await serve(pod({}, { conditions }));
    assert.match(await why(server), /pod: no nodes available to schedule pods\n\nTry:\n {2}"tsctl get nodes"/);
    await using gated = await serve(pod({ schedulingGates: [{ name: "x.io/later" }] }));
    assert.match(await why(gated), /its scheduling gates hold it back: x\.io\/later/);
  });

  it("names ConfigMaps, Secrets and keys that are missing, each once, and not the optional ones", async () => {
    const key = (name: string, of: string, optional = false) => ({ name: of, valueFrom: { configMapKeyRef: { name, key: of, optional } } });
    const spec: Pod["spec"] = {
      nodeName: "n1",
      containers: [
        { name: "main", env: [key("there", "a"), key("there", "b"), key("gone", "c"), key("gone", "d"), key("maybe", "e", true)] },
      ],
      volumes: [{ name: "v", secret: { secretName: "password" } }],
    };
    await using server = await serve(pod(spec, { containerStatuses: [waiting("ContainerCreating")] }));
    server.on("GET /api/v1/namespaces/shop/configmaps/there", { body: { data: { a: "1" } } });
    const told = await why(server);
    assert.match(
      told,
      /Waits:\n {2}volume v: secret "password" is missing\n {2}container main: key "b" of configmap "there" is missing\n {2}container main: configmap "gone" is missing\n\n/,
    );
    assert.match(told, /"tsctl create secret generic password -n shop --from-literal=KEY=VALUE"/);
  });

  it("tells a crash loop with its next try, its last exit and the last lines", async () => {
    const terminated = { reason: "OOMKilled", exitCode: 137, finishedAt: ago(10) };
    const crashed = {
      ...waiting("CrashLoopBackOff", "back-off 1m20s restarting failed container=main"),
      lastState: { terminated },
      restartCount: 3,
    };
    await using server = await serve(pod({ nodeName: "n1" }, { phase: "Running", containerStatuses: [crashed] }));
    server.on(`GET ${path}/log`, { body: "one\ntwo\n" });
    assert.equal(
      (await why(server, "--tail=2")).split("\n\nTry:")[0],
      `pod shop/a is Running, on n1

Waits:
  container main: CrashLoopBackOff: ended 4 times, next try in 70s (back-off 80s)

Ended:
  container main: OOMKilled, exit code 137, signal 9, 10s ago, restarted 3 times
    | one
    | two`,
    );
    assert.equal(server.requests.at(-1)?.query.get("tailLines"), "2");
    server.on(`GET ${path}/log`, { status: 400, body: status("BadRequest", "gone") });
    assert.match(await why(server), /restarted 3 times\n\nTry:\n {2}main was killed for using more memory than its limit/);
  });

  for (const [what, statuses, expected] of [
    [
      "an image",
      { containerStatuses: [waiting("ImagePullBackOff", 'Back-off pulling image "web:1"')] },
      /container main: ImagePullBackOff: Back-off pulling image "web:1"[\s\S]*tsctl image load/,
    ],
    [
      "an init container",
      {
        initContainerStatuses: [{ name: "prepare", state: { running: { startedAt: ago(30) } } }],
        containerStatuses: [waiting("PodInitializing")],
      },
      /container main: waits for init container prepare \(1 of 1\), which runs since 30s\n/,
    ],
    ["its node", {}, /pod: node n1 has not said anything of it yet/],
    [
      "a fault of the container",
      { containerStatuses: [waiting("CreateContainerError", "no such user")] },
      /container main: CreateContainerError: no such user/,
    ],
    [
      "a readiness gate",
      {
        containerStatuses: [{ name: "main", ready: true, state: { running: {} } }],
        conditions: [{ type: "Ready", status: "False", reason: "ReadinessGatesNotReady", message: "gate x is not true" }],
      },
      /pod: gate x is not true/,
    ],
  ] as const) {
    it(`says that it waits for ${what}`, async () => {
      await using server = await serve(pod({ nodeName: "n1" }, statuses as unknown as Pod["status"]));
      assert.match(await why(server), expected);
    });
  }

  it("says what a failing probe said last", async () => {
    const running: ContainerStatus = { name: "main", ready: false, started: true, state: { running: { startedAt: ago(60) } } };
    const unhealthy = (message: string, seconds: number) => ({
      reason: "Unhealthy",
      message,
      lastTimestamp: ago(seconds),
      involvedObject: { fieldPath: "spec.containers{main}" },
    });
    const spec: Pod["spec"] = { nodeName: "n1", containers: [{ name: "main", readinessProbe: { httpGet: { port: 80 } } }] };
    const events = [unhealthy("Readiness probe failed: 503", 5), unhealthy("Readiness probe failed: refused", 50)];
    await using server = await serve(pod(spec, { phase: "Running", containerStatuses: [running] }), events);
    assert.match(await why(server), /container main: waits for its readiness probe: Readiness probe failed: 503 \(5s ago\)/);
  });

  it("says that nothing is wrong, that it ends, and why all of it failed", async () => {
    const fine = { name: "main", ready: true, state: { running: {} } };
    await using well = await serve(
      pod({ nodeName: "n1" }, { phase: "Running", containerStatuses: [fine], conditions: [{ type: "Ready", status: "True" }] }),
    );
    assert.match(await why(well), /is Running and ready, on n1\n\nNothing is wrong with it/);
    await using ending = await serve(
      pod({ nodeName: "n1" }, {}, { deletionTimestamp: ago(-5), deletionGracePeriodSeconds: 30, finalizers: ["x.io/keep"] }),
    );
    assert.match(
      await why(ending),
      /is Terminating.*\n\nWaits:\n {2}pod: it was told to end and has 5s left of 30s; finalizers keep it: x\.io\/keep/,
    );
    await using failed = await serve(pod({ nodeName: "n1" }, { phase: "Failed", reason: "DeadlineExceeded", message: "too long" }));
    assert.match(await why(failed), /is Failed, on n1\nDeadlineExceeded: too long\n$/);
  });

  it("refuses what is no pod, and tells that there is none", async () => {
    await using server = await FakeServer.start();
    for (const words of [["node/n"], ["node", "n"], ["pod", "a", "b"]])
      assert.match((await runTsctl(["why", ...words], { server })).stderr, /why is for one pod/);
    assert.match((await runTsctl(["why"], { server })).stderr, /say which pod/);
    assert.match((await runTsctl(["why", "a", "--tail=few"], { server })).stderr, /--tail "few" is not a number of lines/);
    assert.equal(server.requests.length, 0);
    assert.deepEqual(await runTsctl(["why", "pod", "z"], { server }), { code: 1, stdout: "", stderr: 'error: pods "z" not found\n' });
  });
});
