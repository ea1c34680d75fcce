import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Container, PodSpec } from "@tessera/proto";
import { container, pod } from "../pod/testing/pod-builder.ts";
import { containerResources, type LimitContext, oomScoreAdj, podResources } from "./resources.ts";
import { refuses } from "./testing/refuses.ts";
import { annotatedLimits } from "./tuning.ts";

describe("resources", () => {
  const node = { memoryBytes: 8 * 2 ** 30, swapBytes: 0, hugepages: [] };
  const resourcesOf = (one: Container, on: LimitContext["node"] = node) =>
    containerResources(one, { pod: pod("p", { containers: [one] }), node: on });

  it("become shares, quota and limits", () => {
    const limited = container("main", { resources: { requests: { cpu: "500m" }, limits: { cpu: "250m", memory: "64Mi" } } });
    assert.deepEqual(resourcesOf(limited), {
      cpuShares: 512,
      cpuQuotaUs: 25_000,
      cpuPeriodUs: 100_000,
      memoryLimitBytes: 64 * 2 ** 20,
      swapLimitBytes: 0,
    });
    assert.deepEqual(resourcesOf(container("main")), { cpuShares: 2, swapLimitBytes: 0 });
    assert.equal(resourcesOf(container("main", { resources: { limits: { cpu: "1m" } } })).cpuQuotaUs, 1000);
  });

  it("limit the pod as a whole only where every container is limited", () => {
    const limits = { resources: { limits: { cpu: "1", memory: "64Mi" } } };
    const both: PodSpec = { containers: [container("a", limits), container("b", limits)] };
    assert.deepEqual(podResources(pod("p", both), 100), {
      cpuShares: 2048,
      cpuQuotaUs: 200_000,
      cpuPeriodUs: 100_000,
      memoryLimitBytes: 128 * 2 ** 20,
      pidsLimit: 100,
    });
    assert.deepEqual(podResources(pod("p", { containers: [container("a", limits), container("b")] }), undefined), { cpuShares: 1024 });
  });

  it("give Burstable pods their share of a node's swap, and others none", () => {
    const swapping = { ...node, swapBytes: 2 ** 30 };
    const swap = (requests: Record<string, string>, limits?: Record<string, string>) =>
      resourcesOf(container("a", { resources: { requests, ...(limits ? { limits } : {}) } }), swapping).swapLimitBytes;
    assert.equal(swap({ memory: "1Gi" }), 2 ** 27);
    assert.equal(swap({ memory: "1000001" }, { memory: "1Gi" }), 30 * 4096);
    assert.equal(swap({ memory: "1Gi", cpu: "1" }, { memory: "1Gi", cpu: "1" }), 0, "Guaranteed");
    assert.equal(swap({ memory: "1Gi", cpu: "1" }, { memory: "1Gi" }), 0, "its memory is all that it may have");
    assert.equal(swap({ cpu: "1" }), 0, "it asks for no memory");
    assert.equal(swap({}), 0, "BestEffort");
  });

  it("limit every size of huge pages that the node has", () => {
    const paged = { ...node, hugepages: [2 ** 21, 2 ** 30].map((pageBytes) => ({ pageBytes, count: 1 })) };
    const limits = { "hugepages-2Mi": "4Mi", memory: "1Gi" };
    assert.deepEqual(resourcesOf(container("a", { resources: { limits, requests: limits } }), paged).hugepageLimits, [
      { pageBytes: 2 ** 21, limitBytes: 2 ** 22 },
      { pageBytes: 2 ** 30, limitBytes: 0 },
    ]);
  });

  it("take from annotations what no field says", () => {
    const annotations = {
      "tessera.dev/ulimits": "nofile=10:20",
      "tessera.dev/blkio-weight.main": "700",
      "tessera.dev/device-read-bps": "/dev/a:1Mi,/dev/b:2Mi",
      "tessera.dev/device-write-iops": "/dev/link-to-a:5",
    };
    const annotated = { ...pod("p"), metadata: { name: "p", annotations } };
    const findDevice = (path: string) => ({ major: 8, minor: path.endsWith("a") ? 0 : 16 });
    assert.deepEqual(annotatedLimits(annotated, container("main"), findDevice), {
      rlimits: [{ name: "nofile", soft: 10, hard: 20 }],
      resources: {
        ioWeight: 700,
        ioLimits: [
          { major: 8, minor: 0, readBytes: 2 ** 20, writeOperations: 5 },
          { major: 8, minor: 16, readBytes: 2 ** 21 },
        ],
      },
    });
    const { rlimits, resources } = annotatedLimits(pod("p"), container("main"));
    assert.deepEqual([rlimits, resources], [undefined, {}]);
    const on = (device: string) => ({
      ...pod("p"),
      metadata: { name: "p", annotations: { "tessera.dev/device-read-bps": `${device}:1` } },
    });
    refuses(() => annotatedLimits(on("/dev/nowhere"), container("main")), "Invalid", /the node has no device \/dev\/nowhere/);
    refuses(() => annotatedLimits(on("/dev/null"), container("main")), "Invalid", /\/dev\/null is no block device/);
  });

  it("keep to the CPUs and memory nodes that annotations name, which the node must have", () => {
    const on = (set: Record<string, string>) => ({ ...pod("p"), metadata: { name: "p", annotations: set } });
    const { resources } = annotatedLimits(on({ "tessera.dev/cpuset-cpus": "0", "tessera.dev/cpuset-mems": "0" }), container("main"));
    assert.deepEqual(resources, { cpusetCpus: "0", cpusetMems: "0" });
    const beyond = (name: string) => () => annotatedLimits(on({ [`tessera.dev/${name}.main`]: "0,8000" }), container("main"));
    refuses(beyond("cpuset-cpus"), "Invalid", /the node has no CPU 8000, only 0/);
    refuses(beyond("cpuset-mems"), "Invalid", /the node has no memory node 8000, only 0/);
  });

  it("say who is killed first when memory runs out", () => {
    const limits = { cpu: "1", memory: "1Gi" };
    const guaranteed = container("a", { resources: { limits, requests: limits } });
    const burstable = container("a", { resources: { requests: { memory: "4Gi" } } });
    const score = (one: Container) => oomScoreAdj(pod("p", { containers: [one] }), one, 8 * 2 ** 30);
    assert.deepEqual([score(guaranteed), score(burstable), score(container("a"))], [0, 500, 1000]);
  });
});
