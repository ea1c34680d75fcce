import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodSpec } from "@tessera/proto";
import { unheededWishes } from "./not-yet.ts";

const paths = (spec: PodSpec) => unheededWishes({ spec }).map((wish) => wish.slice(0, wish.indexOf(":")));

test("a pod that wishes only what there is is told nothing", () => {
  const ports = [{ containerPort: 80 }];
  assert.deepEqual(paths({ affinity: { nodeAffinity: {} }, topologySpreadConstraints: [], containers: [{ name: "a", ports }] }), []);
});

test("wishes that nothing acts on are told with their place", () => {
  const spec: PodSpec = {
    affinity: { podAffinity: {}, podAntiAffinity: {} },
    topologySpreadConstraints: [{ maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule" }],
    runtimeClassName: "other",
    containers: [{ name: "a" }, { name: "b", ports: [{ containerPort: 80 }, { containerPort: 81, hostPort: 8081 }] }],
    initContainers: [{ name: "c", ports: [{ containerPort: 82, hostPort: 8082 }] }],
  };
  assert.deepEqual(paths(spec), [
    "spec.affinity.podAffinity",
    "spec.affinity.podAntiAffinity",
    "spec.topologySpreadConstraints",
    "spec.runtimeClassName",
    "spec.containers[1].ports[1].hostPort",
    "spec.initContainers[0].ports[0].hostPort",
  ]);
});

test("ports of a pod in the node's network are the node's already", () => {
  assert.deepEqual(paths({ hostNetwork: true, containers: [{ name: "a", ports: [{ containerPort: 80, hostPort: 80 }] }] }), []);
});
