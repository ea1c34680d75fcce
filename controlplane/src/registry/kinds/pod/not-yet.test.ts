import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodSpec } from "@tessera/proto";
import { unheededWishes } from "./not-yet.ts";

const paths = (spec: PodSpec) => unheededWishes({ spec }).map((wish) => wish.slice(0, wish.indexOf(":")));

test("a pod that wishes only what there is is told nothing", () => {
  const ports = [{ containerPort: 80 }];
  const appArmorProfile = { type: "Unconfined" };
  assert.deepEqual(paths({ priorityClassName: "system-node-critical", securityContext: { appArmorProfile } }), []);
  assert.deepEqual(paths({ containers: [{ name: "a", ports }] }), []);
});

test("wishes that nothing acts on are told with their place", () => {
  const spec: PodSpec = {
    schedulingGroup: { podGroupName: "all" },
    resources: { limits: { cpu: "1" } },
    priorityClassName: "important",
    securityContext: { seLinuxOptions: { level: "s0" } },
    containers: [
      { name: "a", securityContext: { appArmorProfile: { type: "RuntimeDefault" }, windowsOptions: {} } },
      { name: "b", ports: [{ containerPort: 80 }, { containerPort: 81, hostPort: 8081, hostIP: "::1" }] },
    ],
    initContainers: [{ name: "c", ports: [{ containerPort: 82, hostPort: 8082 }] }],
  };
  assert.deepEqual(paths(spec), [
    "spec.securityContext.seLinuxOptions",
    "spec.schedulingGroup",
    "spec.resources",
    "spec.priorityClassName",
    "spec.containers[0].securityContext.appArmorProfile",
    "spec.containers[0].securityContext.windowsOptions",
    "spec.containers[1].ports[1].hostIP",
    "spec.initContainers[0].ports[0].hostPort",
  ]);
});

test("ports of the node that lead to a container or a sidecar are nothing to tell", () => {
  const ports = [{ containerPort: 80, hostPort: 8080, hostIP: "192.0.2.1" }];
  const proxy = { name: "proxy", restartPolicy: "Always", ports: [{ containerPort: 81, hostPort: 8081 }] };
  assert.deepEqual(paths({ containers: [{ name: "a", ports }], initContainers: [proxy] }), []);
});

test("ports of a pod in the node's network are the node's already", () => {
  assert.deepEqual(paths({ hostNetwork: true, containers: [{ name: "a", ports: [{ containerPort: 80, hostPort: 80 }] }] }), []);
});
