import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { credentials } from "@grpc/grpc-js";
import type { Node, NodeStatus, PodSpec, PodStatus } from "@tessera/proto";
import type { HostFiles } from "@tessera/runtime-native";
import { pino } from "pino";
import { Agent } from "./agent.ts";
import { systemClock } from "./clock.ts";
import type { DiskSettings } from "./disk/disk-use.ts";
import { logPath, podFolders } from "./pod/store.ts";
import { FakeHostFiles, FakeImages, FakeNetwork, fakeImage } from "./pod/testing/fake-host.ts";
import { FakeKernel, FakeRuntime } from "./pod/testing/fake-runtime.ts";
import { TEST_NODE, until } from "./pod/testing/harness.ts";
import { container, deleted, pod } from "./pod/testing/pod-builder.ts";
import { collect, FakeControlPlane } from "./session/fake-control-plane.ts";
import { readIdentity } from "./session/node-status.ts";

describe("agent and control plane", () => {
  let folder: string;
  let controlPlane: FakeControlPlane;
  let kernel: FakeKernel;
  let network: FakeNetwork;
  let hostFiles: FakeHostFiles;
  let images: FakeImages;
  let stop: AbortController;
  let running: Promise<void>;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "tessera-agent-"));
    controlPlane = new FakeControlPlane();
    kernel = new FakeKernel();
    network = new FakeNetwork();
    hostFiles = new FakeHostFiles();
    images = new FakeImages(["app"]);
    await controlPlane.start();
    await startAgent();
  });
  afterEach(async () => {
    await stopAgent();
    controlPlane.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const unwatched: DiskSettings = { gcHighPercent: 100, gcLowPercent: 80, minImageAgeMs: 0, evictionPercent: 0 };

  async function startAgent(disk = unwatched): Promise<void> {
    stop = new AbortController();
    const agent = new Agent({
      node: TEST_NODE,
      identity: await readIdentity(folder),
      dataDir: folder,
      runtime: new FakeRuntime(kernel),
      network,
      hostFiles: hostFiles as unknown as HostFiles,
      images,
      disk,
      clock: systemClock,
      random: Math.random,
      usageIntervalMs: 20,
      log: pino({ level: "silent" }),
      controlPlane: { target: controlPlane.target, credentials: () => credentials.createInsecure() },
    });
    await new Promise<void>((resolve, reject) => {
      running = agent.run(stop.signal, resolve);
      running.catch(reject);
    });
  }

  async function stopAgent(): Promise<void> {
    stop.abort();
    await running;
  }

  const statuses = (uid: string): PodStatus[] =>
    controlPlane
      .of("podStatus")
      .filter((report) => report.uid === uid)
      .map((report) => JSON.parse(report.status.toString()) as PodStatus);
  const isReady = (uid: string) => statuses(uid).at(-1)?.containerStatuses?.[0]?.ready === true;
  const heard = () => controlPlane.heard.map((message) => JSON.stringify(message).slice(0, 400));

  async function runPod(name: string, spec = {}): Promise<void> {
    await until(() => controlPlane.sessions > 0);
    controlPlane.assign(pod(name, spec));
    await until(() => isReady(`uid-${name}`), heard);
  }

  it("says who it is, takes its range of addresses, runs what it is given and reports it", async () => {
    await runPod("a");
    const [hello] = controlPlane.of("hello");
    assert.equal(hello?.nodeName, "node-1");
    assert.equal(hello?.labels["kubernetes.io/hostname"], "node-1");
    const nodeStatus = JSON.parse(hello?.nodeStatus.toString() ?? "") as NodeStatus;
    assert.equal(nodeStatus.capacity?.["pods"], "110");
    assert.deepEqual(nodeStatus.images, [{ names: ["app"], sizeBytes: 1_000_000 }]);
    assert.equal(network.nodeCidr, "10.64.7.0/24");
    assert.equal(statuses("uid-a").at(-1)?.podIP, "10.64.7.2");
    await until(() => controlPlane.of("event").length === 3, heard);
    const last = JSON.parse(controlPlane.of("nodeStatus").at(-1)?.status.toString() ?? "{}") as NodeStatus;
    assert.equal(last.conditions?.find((condition) => condition.type === "Ready")?.status, "True");
  });

  it("says that its disk is nearly full, removes what nobody uses and evicts a pod", async () => {
    images.images.set("unused", fakeImage("unused"));
    await runPod("a");
    await stopAgent();
    // As nothing is ever all free, this disk always counts as full.
    await startAgent({ ...unwatched, evictionPercent: 100 });
    await until(() => statuses("uid-a").at(-1)?.phase === "Failed", heard);
    const { reason, message } = statuses("uid-a").at(-1) ?? {};
    assert.equal(reason, "Evicted");
    assert.match(message ?? "", /^The node was low on resource: ephemeral-storage\. Threshold quantity: .*, available: .*\./);
    assert.deepEqual([...images.images.keys()], ["app"], "a pod that is being ended needs its image to the last");
    const last = () => JSON.parse(controlPlane.of("nodeStatus").at(-1)?.status.toString() ?? "{}") as NodeStatus;
    const pressure = () => last().conditions?.find(({ type }) => type === "DiskPressure");
    await until(() => pressure()?.status === "True", heard);
    assert.equal(pressure()?.reason, "KubeletHasDiskPressure");
    const ofNode = controlPlane.of("event").filter(({ kind }) => kind === "Node");
    assert.ok(
      ofNode.some(({ reason: word, name }) => word === "NodeHasDiskPressure" && name === "node-1"),
      JSON.stringify(ofNode),
    );
  });

  it("reports the last status before it says that the pod is gone", async () => {
    await runPod("a");
    controlPlane.assign(deleted(pod("a"), 30));
    await until(() => controlPlane.of("podGone").length === 1, heard);
    const kinds = controlPlane.heard.map((message) => message.$case).filter((kind) => kind === "podStatus" || kind === "podGone");
    assert.equal(kinds.at(-1), "podGone");
    assert.equal(statuses("uid-a").at(-1)?.containerStatuses?.[0]?.state?.terminated?.exitCode, 143);
  });

  it("reports what the node and its containers have used, again and again, and in each session anew", async () => {
    await runPod("a");
    const containers = () => controlPlane.of("usage").flatMap((report) => report.pods.flatMap((one) => one.containers));
    await until(() => containers().length >= 2, heard);
    const report = controlPlane.of("usage").at(-1);
    assert.equal(report?.intervalMs, 20);
    assert.ok((report?.node?.cpuNs ?? 0n) > 0n);
    assert.ok((report?.node?.memoryWorkingSetBytes ?? 0n) > 0n);
    assert.deepEqual(
      report?.pods.map((one) => [one.uid, one.containers.map(({ name, attempt }) => [name, attempt])]),
      [["uid-a", [["main", 0]]]],
    );
    const [first, second] = containers();
    assert.ok((second?.usage?.timeNs ?? 0n) > (first?.usage?.timeNs ?? 0n));
    controlPlane.stop();
    const before = controlPlane.of("usage").length;
    await controlPlane.start();
    await until(() => controlPlane.of("usage").length > before, heard);
  });

  it("removes nothing that was not mentioned before it is told that this was all", async () => {
    await runPod("a");
    controlPlane.stop();
    await controlPlane.start();
    await until(() => controlPlane.sessions === 2);
    assert.deepEqual(
      controlPlane
        .of("hello")
        .at(-1)
        ?.pods.map((held) => held.uid),
      ["uid-a"],
    );
    await until(() => controlPlane.heard.filter((message) => message.$case === "podStatus").length >= 2, heard);
    assert.ok(kernel.sandboxes.has("uid-a"));
    controlPlane.say({ $case: "synced", value: {} });
    await until(() => controlPlane.of("podGone").length === 1, heard);
    assert.equal(kernel.sandboxes.size, 0);
  });

  it("keeps what was welcomed or assigned when all is said", async () => {
    await runPod("a");
    controlPlane.podUids = ["uid-a"];
    controlPlane.stop();
    await controlPlane.start();
    await until(() => controlPlane.sessions === 2);
    controlPlane.assign(pod("b"));
    controlPlane.say({ $case: "synced", value: {} });
    await until(() => isReady("uid-b"), heard);
    assert.ok(kernel.sandboxes.has("uid-a"));
  });

  it("says again after a reconnect what the old session may not have carried", async () => {
    await runPod("a");
    controlPlane.stop();
    kernel.end("uid-a", "main_0", { exitCode: 7 });
    await until(() => kernel.starts.includes("uid-a/main_1"));
    await controlPlane.start();
    await until(() => statuses("uid-a").at(-1)?.containerStatuses?.[0]?.restartCount === 1, heard);
  });

  it("takes in what fits its node as it was last told of it", async () => {
    await until(() => controlPlane.sessions > 0);
    const outcome = async (name: string, spec: PodSpec) => {
      controlPlane.assign(pod(name, spec));
      await until(() => isReady(`uid-${name}`) || statuses(`uid-${name}`).at(-1)?.phase === "Failed", heard);
      return statuses(`uid-${name}`).at(-1)?.reason ?? "runs";
    };
    const node: Node = { metadata: { labels: { disk: "ssd" } }, spec: {}, status: { allocatable: { cpu: "64", "example.com/gpu": "1" } } };
    const tell = (more: Partial<Node>) =>
      controlPlane.say({ $case: "ownNode", value: { node: Buffer.from(JSON.stringify({ ...node, ...more })) } });
    const gpus = (count: string) => ({ containers: [container("main", { resources: { requests: { "example.com/gpu": count } } })] });
    const cpus = (count: string) => ({ containers: [container("main", { resources: { requests: { cpu: count } } })] });
    tell({});
    assert.equal(await outcome("chosen", { nodeSelector: { disk: "ssd" } }), "runs");
    assert.equal(await outcome("astray", { nodeSelector: { disk: "hdd" } }), "NodeAffinity");
    assert.equal(await outcome("drawing", gpus("1")), "runs");
    assert.equal(await outcome("late", gpus("1")), "OutOfexample.com/gpu");
    // What the agent itself counts it knows better than the object.
    assert.equal(await outcome("large", cpus("3")), "OutOfcpu");
    tell({ spec: { taints: [{ key: "broken", effect: "NoExecute" }] } });
    assert.equal(await outcome("unwelcome", {}), "TaintToleration");
  });

  it("counts no pod that the control plane no longer knows, even before it is told that this was all", async () => {
    const whole = { containers: [container("main", { resources: { requests: { cpu: "2" } } })] };
    await runPod("a", whole);
    controlPlane.podUids = [];
    controlPlane.endSession();
    await until(() => controlPlane.sessions === 2);
    controlPlane.assign(pod("b", whole));
    await until(() => isReady("uid-b"), heard);
    assert.deepEqual([...kernel.sandboxes.keys()].sort(), ["uid-a", "uid-b"]);
    controlPlane.say({ $case: "synced", value: {} });
    await until(() => !kernel.sandboxes.has("uid-a"), heard);
  });

  it("looks after its pods without a control plane, from its records alone", async () => {
    await runPod("a");
    await stopAgent();
    controlPlane.stop();
    kernel.end("uid-a", "main_0", { exitCode: 1 });
    const startsBefore = kernel.starts.length;
    await startAgent();
    await until(() => kernel.starts.length === startsBefore + 1);
    assert.equal(kernel.starts.at(-1), "uid-a/main_1");
  });

  it("runs a command in a container and gives its output and exit code", async () => {
    await runPod("a");
    const request = { podUid: "uid-a", container: "main", stdin: false, stdout: true, stderr: true, tty: false };
    const echo = await collect(await controlPlane.open({ $case: "exec", value: { ...request, command: ["echo", "hello"] } }));
    assert.deepEqual([echo.stdout, echo.exit.code], ["hello\n", 0]);
    const failing = await collect(await controlPlane.open({ $case: "exec", value: { ...request, command: ["exit", "3"] } }));
    assert.equal(failing.exit.code, 3);
    const missing = await collect(await controlPlane.open({ $case: "exec", value: { ...request, command: ["/no/such"] } }));
    assert.equal(missing.exit.code, 127);
    assert.match(missing.stderr, /no such file/);
    const cat = await controlPlane.open({ $case: "exec", value: { ...request, stdin: true, command: ["cat"] } });
    const big = Buffer.alloc(300_000, "x");
    cat.write({ frame: { $case: "stdin", value: big } });
    cat.write({ frame: { $case: "stdinClosed", value: {} } });
    const echoed = await collect(cat);
    assert.deepEqual([echoed.stdout.length, echoed.exit.code], [big.length, 0]);
  });

  it("attaches to a container until it ends, and takes a stdin that is for one session along", async () => {
    await runPod("a", { containers: [container("main", { stdin: true, stdinOnce: true })] });
    const request = { podUid: "uid-a", container: "main", stdin: true, stdout: true, stderr: true, tty: false };
    const attached = await controlPlane.open({ $case: "attach", value: request });
    attached.write({ frame: { $case: "stdin", value: Buffer.from("hello") } });
    attached.write({ frame: { $case: "stdinClosed", value: {} } });
    const { stdout, exit } = await collect(attached);
    // The exit code is in the pod's status.
    assert.deepEqual([stdout, exit.code, exit.reason], ["hello", undefined, ""]);
    assert.deepEqual(kernel.starts, ["uid-a/main_0"]);
  });

  it("leaves a container running whose stdin is not for one session", async () => {
    await runPod("a", { containers: [container("main", { stdin: true })] });
    const request = { podUid: "uid-a", container: "main", stdin: true, stdout: true, stderr: true, tty: false };
    for (const word of ["one", "two"]) {
      const attached = await controlPlane.open({ $case: "attach", value: request });
      attached.write({ frame: { $case: "stdin", value: Buffer.from(word) } });
      attached.write({ frame: { $case: "stdinClosed", value: {} } });
      const { stdout, exit } = await collect(attached);
      assert.deepEqual([stdout, exit.reason], [word, ""]);
    }
    assert.equal(kernel.sandboxes.get("uid-a")?.containers.get("main_0")?.state.phase, "running");
  });

  it("forwards to a port, and says who refused", async () => {
    await runPod("a");
    const echo = await controlPlane.open({ $case: "portForward", value: { podUid: "uid-a", port: 7 } });
    const big = Buffer.alloc(300_000, "x");
    echo.write({ frame: { $case: "stdin", value: big } });
    echo.write({ frame: { $case: "stdinClosed", value: {} } });
    const { stdout, exit } = await collect(echo);
    assert.deepEqual([stdout.length, exit.reason], [big.length, ""]);
    const refused = await collect(await controlPlane.open({ $case: "portForward", value: { podUid: "uid-a", port: 8 } }));
    assert.deepEqual(
      [refused.exit.reason, refused.exit.message],
      ["ServiceUnavailable", "connect to port: localhost:8: connection refused"],
    );
  });

  it("refuses a stream that cannot be had, with the reason", async () => {
    await runPod("a");
    const exec = { container: "", command: ["true"], stdin: false, stdout: true, stderr: true, tty: false };
    controlPlane.say({ $case: "openStream", value: { streamId: "s1", request: { $case: "exec", value: { ...exec, podUid: "nobody" } } } });
    controlPlane.say({
      $case: "openStream",
      value: { streamId: "s2", request: { $case: "exec", value: { ...exec, podUid: "uid-a", container: "wrong" } } },
    });
    controlPlane.say({
      $case: "openStream",
      value: { streamId: "s3", request: { $case: "portForward", value: { podUid: "nobody", port: 80 } } },
    });
    await until(() => controlPlane.of("streamRefused").length === 3, heard);
    const refusals = new Map(controlPlane.of("streamRefused").map((refusal) => [refusal.streamId, refusal]));
    assert.equal(refusals.get("s1")?.reason, "NotFound");
    assert.deepEqual([refusals.get("s2")?.reason, refusals.get("s2")?.message], ["BadRequest", "container wrong is not valid for pod a"]);
    assert.equal(refusals.get("s3")?.reason, "NotFound");
  });

  it("streams a container's log, and follows it to the container's end", async () => {
    await runPod("a");
    const path = logPath(podFolders(join(folder, "pods"), "uid-a"), "main", 0);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, "2026-01-01T00:00:00.000000000Z stdout F one\n2026-01-01T00:00:01.000000000Z stderr F two\n");
    const request = { podUid: "uid-a", container: "main", follow: false, previous: false, timestamps: false, sinceTime: "" };
    const log = await collect(await controlPlane.open({ $case: "log", value: request }));
    assert.equal(log.stdout, "one\ntwo\n");
    const tail = await collect(await controlPlane.open({ $case: "log", value: { ...request, tailLines: 1n } }));
    assert.equal(tail.stdout, "two\n");
    const following = collect(await controlPlane.open({ $case: "log", value: { ...request, follow: true } }));
    await writeFile(path, "2026-01-01T00:00:02.000000000Z stdout F three\n", { flag: "a" });
    kernel.end("uid-a", "main_0", { exitCode: 0 });
    assert.equal((await following).stdout, "one\ntwo\nthree\n");
    await until(() => statuses("uid-a").at(-1)?.containerStatuses?.[0]?.restartCount === 1, heard);
    const previous = await collect(await controlPlane.open({ $case: "log", value: { ...request, previous: true } }));
    assert.equal(previous.stdout, "one\ntwo\nthree\n");
  });

  it("says why there is no log yet", async () => {
    await until(() => controlPlane.sessions > 0);
    controlPlane.assign(pod("a", { containers: [container("main", { image: "nowhere" })] }));
    await until(() => statuses("uid-a").length > 0, heard);
    const request = { podUid: "uid-a", container: "main", follow: false, previous: false, timestamps: false, sinceTime: "" };
    controlPlane.say({ $case: "openStream", value: { streamId: "s1", request: { $case: "log", value: request } } });
    controlPlane.say({ $case: "openStream", value: { streamId: "s2", request: { $case: "log", value: { ...request, previous: true } } } });
    await until(() => controlPlane.of("streamRefused").length === 2, heard);
    assert.deepEqual(
      controlPlane.of("streamRefused").map((refusal) => refusal.message),
      ['container "main" in pod "a" is waiting to start: ErrImagePull', 'previous terminated container "main" in pod "a" not found'],
    );
  });

  it("loads an image from a stream, starts the pod that waits for it and tells of it", async () => {
    await until(() => controlPlane.sessions > 0);
    controlPlane.assign(pod("a", { containers: [container("main", { image: "fresh" })] }));
    await until(() => statuses("uid-a").length > 0, heard);
    const upload = await controlPlane.open({ $case: "imageLoad", value: {} });
    for (const piece of ["fr", "esh"]) upload.write({ frame: { $case: "stdin", value: Buffer.from(piece) } });
    upload.write({ frame: { $case: "stdinClosed", value: {} } });
    assert.equal((await collect(upload)).stdout, '{"image":"fresh"}\n');
    await until(() => isReady("uid-a"), heard);
    await until(() => (controlPlane.of("nodeStatus").at(-1)?.status.toString() ?? "").includes('"fresh"'), heard);
  });

  it("does not take an upload for whole that was cut short", async () => {
    await until(() => controlPlane.sessions > 0);
    const upload = await controlPlane.open({ $case: "imageLoad", value: {} });
    upload.write({ frame: { $case: "stdin", value: Buffer.from("fre") } });
    const answer = collect(upload);
    upload.end();
    await assert.rejects(answer);
    assert.equal(await images.resolve("fre"), undefined);
  });

  it("brings a changed ConfigMap into the volume of a running pod", async () => {
    await until(() => controlPlane.sessions > 0);
    const key = { kind: "ConfigMap", namespace: "default", name: "settings" };
    const send = (resourceVersion: string, text: string) => {
      const object = Buffer.from(JSON.stringify({ metadata: { resourceVersion }, data: { file: text } }));
      controlPlane.say({ $case: "referencedObject", value: { ...key, object } });
    };
    send("1", "old");
    const volumes = [{ name: "settings", configMap: { name: "settings" } }];
    controlPlane.assign(pod("a", { volumes }));
    await until(() => isReady("uid-a"), heard);

    const path = join(folder, "pods/uid-a/volumes/config-map/settings/file");
    assert.equal(await readFile(path, "utf8"), "old");
    send("2", "new");
    await until(async () => (await readFile(path, "utf8")) === "new");
    assert.deepEqual(kernel.starts.filter((start) => start.startsWith("uid-a")).length, 1);
  });
});
