import assert from "node:assert/strict";
import { test } from "node:test";
import type { EphemeralContainer, Pod } from "@tessera/proto";
import { takeEphemeralContainers, validateEphemeralContainers } from "./ephemeral-containers.ts";
import { podDefinition } from "./pod.ts";

function pod(...ephemeralContainers: EphemeralContainer[]): Pod {
  return {
    metadata: { name: "web" },
    spec: {
      containers: [{ name: "app", image: "app:1" }],
      volumes: [{ name: "data", emptyDir: {} }],
      ...(ephemeralContainers.length > 0 ? { ephemeralContainers } : {}),
    },
  };
}

const debug: EphemeralContainer = { name: "debug", image: "tools:1" };

/** What is wrong with adding the container to a pod that has the ones before. */
function faults(container: EphemeralContainer, ...before: EphemeralContainer[]): string[] {
  return validateEphemeralContainers(pod(...before, container), pod(...before)).map(({ path, message }) => `${path}: ${message}`);
}

const at = "spec.ephemeralContainers[0]";
const cases: [what: string, container: EphemeralContainer, faults: string[]][] = [
  ["nothing more than a name and an image", debug, []],
  [
    "a target, a volume, a terminal",
    { ...debug, targetContainerName: "app", volumeMounts: [{ name: "data", mountPath: "/d" }], tty: true },
    [],
  ],
  ["the empty fields that Go clients send", { ...debug, resources: {}, ports: [], restartPolicy: "" }, []],
  ["a name that is taken", { ...debug, name: "app" }, [`${at}.name: Duplicate value: "app"`]],
  ["a target that is not there", { ...debug, targetContainerName: "db" }, [`${at}.targetContainerName: Not found: "db"`]],
  [
    "a volume that is not there",
    { ...debug, volumeMounts: [{ name: "x", mountPath: "/d" }] },
    [`${at}.volumeMounts[0].name: Not found: "x"`],
  ],
  [
    "a subPath",
    { ...debug, volumeMounts: [{ name: "data", mountPath: "/d", subPath: "a" }] },
    [`${at}.volumeMounts[0].subPath: Forbidden: cannot be set for an ephemeral container`],
  ],
  [
    "what the pod was not placed for",
    { ...debug, resources: { limits: { cpu: "1" } }, ports: [{ containerPort: 80 }], livenessProbe: {}, lifecycle: { preStop: {} } },
    ["ports", "lifecycle", "resources"].map((field) => `${at}.${field}: Forbidden: cannot be set for an ephemeral container`),
  ],
];

for (const [what, container, expected] of cases) {
  test(`${what}: ${expected.length === 0 ? "fine" : "refused"}`, () => assert.deepEqual(faults(container), expected));
}

test("what is there stays, as it is", () => {
  assert.deepEqual(faults({ ...debug, name: "second" }, debug), []);
  const removed = validateEphemeralContainers(pod(), pod(debug));
  assert.deepEqual(
    removed.map(({ message }) => message),
    ['Forbidden: existing ephemeral containers "debug" may not be removed'],
  );
  const changed = validateEphemeralContainers(pod({ ...debug, image: "tools:2" }), pod(debug));
  assert.deepEqual(
    changed.map(({ path, message }) => [path, message]),
    [[at, 'Forbidden: existing ephemeral containers "debug" may not be changed']],
  );
});

test("nothing else of the pod changes with them", () => {
  const next: Pod = { ...pod(debug), status: { phase: "Failed" } };
  next.spec = { ...next.spec, hostNetwork: true, nodeName: "elsewhere" };
  const current: Pod = { ...pod(), status: { phase: "Running" } };
  takeEphemeralContainers(next, current);
  assert.deepEqual(next.spec, { ...pod(debug).spec, ephemeralContainers: [{ ...debug, imagePullPolicy: "IfNotPresent" }] });
  assert.deepEqual(next.status, current.status);
});

test("a pod cannot be made with them, and keeps them through its other updates", () => {
  const { strategy } = podDefinition;
  const created = strategy.validate(pod(debug)).filter(({ path }) => path === "spec.ephemeralContainers");
  assert.match(created[0]?.message ?? "", /cannot be set on create/);
  assert.deepEqual(strategy.validateUpdate(pod(debug), pod(debug)), []);
  assert.match(strategy.validateUpdate(pod(debug), pod())[0]?.message ?? "", /changed: spec\.ephemeralContainers/);
});
