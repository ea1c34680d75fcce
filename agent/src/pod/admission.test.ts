import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { PodSpec } from "@tessera/proto";
import { type AdmittingNode, admissionRefusal, podFootprint } from "./admission.ts";
import { container, pod } from "./testing/pod-builder.ts";

const node: AdmittingNode = {
  allowedUnsafeSysctls: [],
  allocatable: { cpu: "2", memory: "1Gi", "ephemeral-storage": "10Gi", pods: "3", "hugepages-2Mi": "0", "example.com/gpu": "1" },
  pressures: [],
  object: { name: "node-1", labels: { zone: "a" }, taints: [] },
};
const requesting = (requests: Record<string, string>): PodSpec => ({ containers: [container("main", { resources: { requests } })] });
const onPort = (hostPort: number, hostIP = ""): PodSpec => ({
  containers: [container("main", { ports: [{ containerPort: 80, hostPort, hostIP }] })],
});
const inZone = (zone: string): PodSpec => ({
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: "zone", operator: "In", values: [zone] }] }],
      },
    },
  },
});

function refusal(spec: PodSpec, { on = {}, beside = [] }: { on?: Partial<AdmittingNode>; beside?: readonly PodSpec[] } = {}) {
  const present = beside.map((one, index) => podFootprint(pod(`other-${index}`, one)));
  return admissionRefusal(pod("new", spec), { ...node, ...on }, present);
}

function assertRefused(actual: ReturnType<typeof refusal>, reason: string, message: string): void {
  assert.deepEqual(actual, { reason, message });
}

describe("room", () => {
  it("is there up to the last bit, beside the pods that are there", () => {
    assert.equal(refusal(requesting({ cpu: "2", memory: "1Gi" })), undefined);
    assert.equal(refusal(requesting({ cpu: "500m" }), { beside: [requesting({ cpu: "1500m" })] }), undefined);
  });

  it("is not there for what is too much, in the kubelet's words", () => {
    assertRefused(
      refusal(requesting({ cpu: "501m" }), { beside: [requesting({ cpu: "1" }), requesting({ cpu: "500m" })] }),
      "OutOfcpu",
      "Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000",
    );
    assertRefused(
      refusal(requesting({ memory: "2Gi" })),
      "OutOfmemory",
      "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824",
    );
    assert.equal(refusal(requesting({ "ephemeral-storage": "11Gi" }))?.reason, "OutOfephemeral-storage");
    assert.equal(refusal(requesting({ "hugepages-2Mi": "2Mi" }))?.reason, "OutOfhugepages-2Mi");
    assert.equal(refusal(requesting({ "hugepages-1Gi": "1Gi" }))?.reason, "OutOfhugepages-1Gi");
    assert.equal(refusal(requesting({ "example.com/gpu": "2" }))?.reason, "OutOfexample.com/gpu");
  });

  it("is a place among the node's pods as well", () => {
    assertRefused(
      refusal({}, { beside: [{}, {}, {}] }),
      "OutOfpods",
      "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
    );
    assert.equal(refusal({}, { beside: [{}, {}] }), undefined);
  });

  it("is not asked for where somebody else than the node keeps a resource", () => {
    assert.equal(refusal(requesting({ "example.com/license": "7" })), undefined);
  });
});

describe("the node's labels", () => {
  const message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";

  it("must be those that the pod selects", () => {
    assert.equal(refusal({ nodeSelector: { zone: "a" } }), undefined);
    assert.equal(refusal(inZone("a")), undefined);
    assertRefused(refusal({ nodeSelector: { zone: "b" } }), "NodeAffinity", message);
    assertRefused(refusal({ nodeSelector: { disk: "ssd" } }), "NodeAffinity", message);
    assertRefused(refusal(inZone("b")), "NodeAffinity", message);
  });

  it("keep nobody out while nobody has told of them", () => {
    assert.equal(refusal(inZone("b"), { on: { object: undefined } }), undefined);
  });
});

describe("host ports", () => {
  it("are one pod's", () => {
    assertRefused(
      refusal(onPort(80), { beside: [onPort(80, "127.0.0.1")] }),
      "NodePorts",
      "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
    );
    assert.equal(refusal(onPort(80), { beside: [onPort(81)] }), undefined);
  });
});

describe("taints", () => {
  const tainted = (effect: string) => ({ object: { name: "node-1", labels: {}, taints: [{ key: "broken", value: "yes", effect }] } });

  it("of effect NoExecute must be tolerated, if only for a time", () => {
    assertRefused(
      refusal({}, { on: tainted("NoExecute") }),
      "TaintToleration",
      "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
    );
    const tolerations = [{ key: "broken", operator: "Exists", effect: "NoExecute", tolerationSeconds: 5 }];
    assert.equal(refusal({ tolerations }, { on: tainted("NoExecute") }), undefined);
  });

  it("of effect NoSchedule are the scheduler's", () => {
    assert.equal(refusal({}, { on: tainted("NoSchedule") }), undefined);
  });
});

describe("a node that is short of something", () => {
  const short = (...pressures: string[]) => ({ on: { pressures } });

  it("of its disk takes nothing in but what the cluster needs", () => {
    assertRefused(refusal(requesting({ cpu: "1" }), short("DiskPressure")), "Evicted", "The node had condition: [DiskPressure].");
    assert.equal(refusal({ priority: 2_000_000_000 }, short("DiskPressure")), undefined);
  });

  it("of its memory only turns away those who ask for nothing and do not say that they bear it", () => {
    const tolerations = [{ key: "node.kubernetes.io/memory-pressure", operator: "Exists", effect: "NoSchedule" }];
    assert.equal(refusal({}, short("MemoryPressure"))?.reason, "Evicted");
    assert.equal(refusal({ tolerations }, short("MemoryPressure")), undefined);
    assert.equal(refusal(requesting({ memory: "1Mi" }), short("MemoryPressure")), undefined);
    assert.equal(refusal({ tolerations }, short("MemoryPressure", "DiskPressure"))?.reason, "Evicted");
  });
});
