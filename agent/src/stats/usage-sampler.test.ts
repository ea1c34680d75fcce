import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import type { UsageReport } from "@tessera/proto/node";
import type { ContainerUsage } from "@tessera/runtime-native";
import { pino } from "pino";
import { FakeClock } from "../pod/testing/fake-clock.ts";
import { until } from "../pod/testing/harness.ts";
import { type RunningContainer, UsageSampler } from "./usage-sampler.ts";

const NODE: ContainerUsage = { cpuNs: 9_000, memoryWorkingSetBytes: 90 };

describe("usage sampler", () => {
  let clock: FakeClock;
  let running: RunningContainer[];
  let sent: UsageReport[];
  let read: (container: string) => Promise<ContainerUsage | undefined>;
  let reads: string[];
  let readNode: () => Promise<ContainerUsage>;
  let sampler: UsageSampler;
  let ticks: bigint;

  beforeEach(() => {
    clock = new FakeClock();
    ticks = 0n;
    running = [{ podUid: "pod", name: "web", attempt: 3 }];
    sent = [];
    reads = [];
    read = async () => ({ cpuNs: 5, memoryWorkingSetBytes: 7 });
    readNode = async () => NODE;
    sampler = new UsageSampler({
      runtime: {
        usage: (sandbox, container) => {
          reads.push(`${sandbox}/${container}`);
          return read(container);
        },
      },
      running: () => running,
      readNode: () => readNode(),
      send: (report) => sent.push(report),
      clock,
      uptimeNs: () => ticks++,
      intervalMs: 10_000,
      log: pino({ level: "silent" }),
    });
  });

  const settled = () => new Promise((resolve) => setImmediate(resolve));

  it("reports the counters of the node and of each running container, each with the moment of its reading", async () => {
    running = [...running, { podUid: "pod", name: "side", attempt: 0 }, { podUid: "other", name: "web", attempt: 1 }];
    sampler.start();
    await until(() => sent.length === 1);
    const usage = (timeNs: bigint) => ({ timeNs, cpuNs: 5n, memoryWorkingSetBytes: 7n });
    assert.deepEqual(sent[0], {
      intervalMs: 10_000,
      node: { timeNs: 0n, cpuNs: 9_000n, memoryWorkingSetBytes: 90n },
      pods: [
        {
          uid: "pod",
          containers: [
            { name: "web", attempt: 3, usage: usage(1n) },
            { name: "side", attempt: 0, usage: usage(2n) },
          ],
        },
        { uid: "other", containers: [{ name: "web", attempt: 1, usage: usage(3n) }] },
      ],
    });
    assert.deepEqual(reads, ["pod/web_3", "pod/side_0", "other/web_1"]);
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
    const held = Promise.withResolvers<ContainerUsage>();
    running = [...running, { podUid: "pod", name: "never", attempt: 0 }];
    read = () => held.promise;
    sampler.start();
    await until(() => reads.length === 1);
    const stopped = sampler.stop();
    held.resolve(NODE);
    await stopped;
    assert.deepEqual(reads, ["pod/web_3"]);
    assert.deepEqual(sent, []);
  });

  it("never has two rounds at once, however slow the kernel is", async () => {
    const held = Promise.withResolvers<ContainerUsage>();
    read = () => held.promise;
    sampler.start();
    await until(() => reads.length === 1);
    clock.advance(60_000);
    sampler.start();
    await settled();
    assert.equal(reads.length, 1);
    held.resolve(NODE);
    await until(() => sent.length === 1);
    assert.equal(reads.length, 2);
  });

  it("leaves out a container that is gone and one that cannot be read", async () => {
    running = ["gone", "broken", "web"].map((name) => ({ podUid: "pod", name, attempt: 0 }));
    read = async (container) => {
      if (container === "broken_0") throw new Error("no");
      return container === "gone_0" ? undefined : NODE;
    };
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
