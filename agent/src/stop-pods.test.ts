import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContainerSpec, SandboxSpec } from "@tessera/runtime-native";
import { pino } from "pino";
import { newRecord, type PodRecord } from "./pod/record.ts";
import { FakeClock } from "./pod/testing/fake-clock.ts";
import { FakeKernel, FakeRuntime } from "./pod/testing/fake-runtime.ts";
import { until } from "./pod/testing/harness.ts";
import { PROCESS } from "./pod/testing/runtime-contract.ts";
import { endPods } from "./stop-pods.ts";

const SIGKILL = 9;
const SIGTERM = 15;
const SIGUSR1 = 10;
const log = pino({ level: "silent" });

interface Fixture {
  readonly clock: FakeClock;
  readonly kernel: FakeKernel;
  /** A pod with one container, main_0, that runs; its record. */
  start(uid: string, graceSeconds: number | undefined, heedsSignals: boolean): Promise<PodRecord>;
  /** What has ended, and by which signal, as "uid SIGNAL". */
  readonly ended: string[];
}

function prepare(): Fixture {
  const clock = new FakeClock();
  const kernel = new FakeKernel(() => clock.now());
  const runtime = new FakeRuntime(kernel);
  const ended: string[] = [];
  const start = async (uid: string, graceSeconds: number | undefined, heedsSignals: boolean): Promise<PodRecord> => {
    const sandbox: SandboxSpec = {
      ...{ id: uid, hostname: uid, network: { kind: "host" }, hostIpc: false, sharePids: false, cgroup: `pod${uid}` },
      ...{ resources: {}, sysctls: {} },
    };
    const container: ContainerSpec = {
      ...{ id: "main_0", process: { ...PROCESS, argv: heedsSignals ? ["/sleep"] : ["ignore-signals"] }, mounts: [], capabilities: [] },
      ...{ rootfs: { lower: [], upper: "", work: "", readOnly: false }, noNewPrivileges: true, privileged: false },
      ...{ seccomp: "RuntimeDefault", resources: {}, pid: "container", init: false, stdin: false, oomScoreAdj: 0 },
      log: { path: "", maxBytes: 0, maxFiles: 0 },
    };
    await runtime.createSandbox(sandbox, AbortSignal.timeout(1000));
    await runtime.startContainer(uid, container, AbortSignal.timeout(1000));
    const spec = graceSeconds === undefined ? {} : { terminationGracePeriodSeconds: graceSeconds };
    const record = newRecord(uid, { metadata: { uid, name: uid, namespace: "default" }, spec }, clock.now());
    record.containers["main"] = { attempt: 0, image: "", imageName: "", imageId: "", stopSignal: SIGTERM, backoffMs: 0 };
    return record;
  };
  return { clock, kernel, start, ended };
}

/** Ends them as the agent's command does, and hears of each exit. */
function end({ clock, kernel, ended }: Fixture, records: readonly PodRecord[]): Promise<void> {
  const runtime = new FakeRuntime(kernel);
  const done = endPods({ runtime, records, clock, log });
  const heard = kernel.listener;
  kernel.listener = (event) => {
    if (event.event === "containerExited") ended.push(`${event.sandbox} ${event.container.signal}`);
    heard?.(event);
  };
  return done;
}

test("each pod has its own grace, and one that heeds its signal needs none of it", async () => {
  const fixture = prepare();
  const { clock, ended } = fixture;
  const records = [
    await fixture.start("polite", 600, true),
    await fixture.start("hurry", 2, false),
    await fixture.start("patient", 90, false),
  ];
  const done = end(fixture, records);
  await until(
    () => ended.length === 1,
    () => ended,
  );
  assert.deepEqual(ended, [`polite ${SIGTERM}`]);
  clock.advance(1999);
  assert.equal(ended.length, 1);
  clock.advance(1);
  await until(
    () => ended.length === 2,
    () => ended,
  );
  clock.advance(87_999);
  assert.deepEqual(ended.slice(1), [`hurry ${SIGKILL}`]);
  clock.advance(1);
  await done;
  assert.deepEqual(ended.slice(2), [`patient ${SIGKILL}`]);
});

test("a pod that is being ended already keeps to its time, one without a record has none, and one that says nothing has 30 s", async () => {
  const fixture = prepare();
  const { clock, ended } = fixture;
  const ending = await fixture.start("ending", 600, false);
  ending.killAtMs = clock.now() + 1000;
  const silent = await fixture.start("silent", undefined, false);
  await fixture.start("unknown", 600, false);
  const done = end(fixture, [ending, silent]);
  for (const [ms, count] of [
    [0, 1],
    [1000, 2],
    [29_000, 3],
  ] as const) {
    // What is told to end is told so some turns of the event loop later.
    await new Promise(setImmediate);
    clock.advance(ms);
    await until(
      () => ended.length === count,
      () => ended,
    );
  }
  await done;
  assert.deepEqual(ended, [`unknown ${SIGKILL}`, `ending ${SIGKILL}`, `silent ${SIGKILL}`]);
});

test("a container gets the stop signal that it wants, also when it stands still", async () => {
  const fixture = prepare();
  const record = await fixture.start("pod", 600, true);
  const [main] = Object.values(record.containers);
  assert.ok(main);
  main.stopSignal = SIGUSR1;
  await new FakeRuntime(fixture.kernel).pauseContainer("pod", "main_0");
  await end(fixture, [record]);
  assert.deepEqual(fixture.ended, [`pod ${SIGUSR1}`]);
});

test("a pod whose shim goes meanwhile is not waited for", async () => {
  const fixture = prepare();
  const done = end(fixture, [await fixture.start("pod", 600, false)]);
  await new Promise(setImmediate);
  fixture.kernel.loseSandbox("pod");
  await done;
});
