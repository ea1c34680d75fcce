import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import type { UsageReport } from "@tessera/proto/node";
import { type ContainerUsage, RuntimeError } from "@tessera/runtime-native";
import { pino } from "pino";
import { FakeClock } from "../pod/testing/fake-clock.ts";
import { until } from "../pod/testing/harness.ts";
import { type RunningContainer, UsageSampler } from "./usage-sampler.ts";

const NODE: ContainerUsage = { timeNs: 1n, cpuNs: 9_000n, memoryWorkingSetBytes: 90n };
const USAGE: ContainerUsage = { timeNs: 2n, cpuNs: 5n, memoryWorkingSetBytes: 7n };

describe("usage sampler", () => {
  let clock: FakeClock;
  let running: RunningContainer[];
  let sent: UsageReport[];
  let read: (container: string) => ContainerUsage | RuntimeError | undefined;
  let held: Promise<void>;
  let reads: string[];
  let readNode: () => Promise<ContainerUsage>;
  let sampler: UsageSampler;

  beforeEach(() => {
    clock = new FakeClock();
    running = [{ podUid: "pod", name: "web", attempt: 3 }];
    sent = [];
    reads = [];
    read = () => USAGE;
    held = Promise.resolve();
    readNode = async () => NODE;
    sampler = new UsageSampler({
      runtime: {
        usage: async (containers) => {
          reads.push(containers.map(({ sandbox, container }) => `${sandbox}/${container}`).join(" "));
          await held;
          return containers.map(({ container }) => read(container));
        },
      },
      running: () => running,
      readNode: () => readNode(),
      send: (report) => sent.push(report),
      clock,
      intervalMs: 10_000,
      log: pino({ level: "silent" }),
    });
  });

  const settled = () => new Promise((resolve) => setImmediate(resolve));

  it("reports the counters of the node and of each running container, each with the moment of its reading", async () => {
    running = [...running, { podUid: "pod", name: "side", attempt: 0 }, { podUid: "other", name: "web", attempt: 1 }];
    sampler.start();
    await until(() => sent.length === 1);
    assert.deepEqual(sent[0], {
      intervalMs: 10_000,
      node: NODE,
      pods: [
        {
          uid: "pod",
          containers: [
            { name: "web", attempt: 3, usage: USAGE },
            { name: "side", attempt: 0, usage: USAGE },
          ],
        },
        { uid: "other", containers: [{ name: "web", attempt: 1, usage: USAGE }] },
      ],
    });
    assert.deepEqual(reads, ["pod/web_3 pod/side_0 other/web_1"]);
  });

  it("samples at each interval, what runs then", async () => {
    sampler.start();
    await until(() => sent.length === 1);
    running = [];
    clock.advance(9_999);
    await settled();
    assert.equal(sent.length, 1);
    clock.advance(1);
    await until(() => sent.length === 2);
    assert.deepEqual(sent[1]?.pods, []);
  });

  it("reads nothing before it is started and after it is stopped", async () => {
    clock.advance(60_000);
    await settled();
    sampler.start();
    await until(() => sent.length === 1);
    await sampler.stop();
    clock.advance(60_000);
    await settled();
    assert.equal(sent.length, 1);
    assert.deepEqual(reads, ["pod/web_3"]);
  });

  it("ends a round that is under way when it is stopped, and sends nothing of it", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    held = promise;
    sampler.start();
    await until(() => reads.length === 1);
    const stopped = sampler.stop();
    resolve();
    await stopped;
    assert.deepEqual(sent, []);
  });

  it("reads no container when it is stopped while the node is read", async () => {
    const { promise, resolve } = Promise.withResolvers<ContainerUsage>();
    readNode = () => promise;
    sampler.start();
    await settled();
    const stopped = sampler.stop();
    resolve(NODE);
    await stopped;
    assert.deepEqual(reads, []);
    assert.deepEqual(sent, []);
  });

  it("never has two rounds at once, however slow the kernel is", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    held = promise;
    sampler.start();
    await until(() => reads.length === 1);
    clock.advance(60_000);
    sampler.start();
    await settled();
    assert.equal(reads.length, 1);
    resolve();
    await until(() => sent.length === 1);
    assert.equal(reads.length, 2);
  });

  it("leaves out a container that is gone and one that cannot be read", async () => {
    running = ["gone", "broken", "web"].map((name) => ({ podUid: "pod", name, attempt: 0 }));
    const broken = new RuntimeError("Internal", "no", { step: "read cgroup" });
    read = (container) => (container === "web_0" ? USAGE : container === "broken_0" ? broken : undefined);
    sampler.start();
    await until(() => sent.length === 1);
    assert.deepEqual(
      sent[0]?.pods.flatMap((pod) => pod.containers.map(({ name }) => name)),
      ["web"],
    );
  });

  it("tries again at the next interval when the node cannot be read", async () => {
    readNode = () => Promise.reject(new Error("no /proc"));
    sampler.start();
    await settled();
    readNode = async () => NODE;
    clock.advance(10_000);
    await until(() => sent.length === 1);
  });
});
