import assert from "node:assert/strict";
import { test } from "node:test";
import { schemaOf } from "./catalog.ts";
import { decodeObject } from "./decode.ts";
import { applyDefaults } from "./defaults.ts";

function defaulted(kind: string, value: object, group = ""): unknown {
  const schema = schemaOf({ group, version: "v1", kind });
  assert.ok(schema);
  const { object, faults } = decodeObject(schema, value);
  assert.deepEqual(faults, []);
  applyDefaults(schema, object);
  return object;
}

const containerDefaults = { resources: {}, terminationMessagePath: "/dev/termination-log", terminationMessagePolicy: "File" };
const specDefaults = {
  restartPolicy: "Always",
  dnsPolicy: "ClusterFirst",
  terminationGracePeriodSeconds: 30,
  schedulerName: "default-scheduler",
  enableServiceLinks: true,
  securityContext: {},
};
const probeDefaults = { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 };

/** Each row: what is given in a pod's spec beside one container, and what the pod has beyond that and the usual defaults. */
const podTable: [what: string, spec: object, container: object, expectedSpec: object, expectedContainer: object][] = [
  ["nothing", {}, {}, {}, {}],
  [
    "what is given stays",
    { restartPolicy: "Never", terminationGracePeriodSeconds: 0, enableServiceLinks: false, securityContext: { fsGroup: 1 } },
    { terminationMessagePolicy: "FallbackToLogsOnError" },
    { restartPolicy: "Never", terminationGracePeriodSeconds: 0, enableServiceLinks: false, securityContext: { fsGroup: 1 } },
    { terminationMessagePolicy: "FallbackToLogsOnError" },
  ],
  [
    "ports",
    {},
    { ports: [{ containerPort: 1 }, { containerPort: 1, protocol: "UDP" }] },
    {},
    {
      ports: [
        { containerPort: 1, protocol: "TCP" },
        { containerPort: 1, protocol: "UDP" },
      ],
    },
  ],
  [
    "probes",
    {},
    {
      livenessProbe: { httpGet: { port: 80 } },
      readinessProbe: { grpc: { port: 1 }, periodSeconds: 2 },
      startupProbe: { tcpSocket: { port: "web" } },
    },
    {},
    {
      livenessProbe: { ...probeDefaults, httpGet: { port: 80, path: "/", scheme: "HTTP" } },
      readinessProbe: { ...probeDefaults, grpc: { port: 1, service: "" }, periodSeconds: 2 },
      startupProbe: { ...probeDefaults, tcpSocket: { port: "web" } },
    },
  ],
  [
    "hooks",
    {},
    { lifecycle: { preStop: { httpGet: { port: 80 } } } },
    {},
    { lifecycle: { preStop: { httpGet: { port: 80, path: "/", scheme: "HTTP" } } } },
  ],
  [
    "references to fields",
    {},
    {
      env: [
        { name: "A", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
        { name: "B", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
      ],
    },
    {},
    {
      env: [
        { name: "A", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "metadata.name" } } },
        { name: "B", valueFrom: { resourceFieldRef: { resource: "limits.cpu", divisor: "0" } } },
      ],
    },
  ],
  [
    "volumes",
    {
      volumes: [
        { name: "a", configMap: { name: "x" } },
        { name: "b", secret: { secretName: "x", defaultMode: 0 } },
        { name: "c", downwardAPI: { items: [{ path: "p", fieldRef: { fieldPath: "metadata.name" } }] } },
        { name: "d", projected: { sources: [{ serviceAccountToken: { path: "t" } }] } },
        { name: "e", hostPath: { path: "/x" } },
        { name: "f", ephemeral: { volumeClaimTemplate: { spec: {} } } },
      ],
    },
    {},
    {
      volumes: [
        { name: "a", configMap: { name: "x", defaultMode: 0o644 } },
        { name: "b", secret: { secretName: "x", defaultMode: 0 } },
        {
          name: "c",
          downwardAPI: { items: [{ path: "p", fieldRef: { apiVersion: "v1", fieldPath: "metadata.name" } }], defaultMode: 0o644 },
        },
        { name: "d", projected: { sources: [{ serviceAccountToken: { path: "t", expirationSeconds: 3600 } }], defaultMode: 0o644 } },
        { name: "e", hostPath: { path: "/x", type: "" } },
        { name: "f", ephemeral: { volumeClaimTemplate: { spec: { volumeMode: "Filesystem" } } } },
      ],
    },
    {},
  ],
];

test("a pod gets the defaults that Kubernetes gives it", () => {
  for (const [what, spec, container, expectedSpec, expectedContainer] of podTable) {
    assert.deepEqual(
      defaulted("Pod", { spec: { ...spec, containers: [{ name: "a", ...container }] } }),
      { spec: { ...specDefaults, ...expectedSpec, containers: [{ name: "a", ...containerDefaults, ...expectedContainer }] } },
      what,
    );
  }
});

test("init and ephemeral containers get the defaults of containers", () => {
  const { spec } = defaulted("Pod", {
    spec: { containers: [{ name: "a" }], initContainers: [{ name: "b" }], ephemeralContainers: [{ name: "c" }] },
  }) as {
    spec: { initContainers: unknown; ephemeralContainers: unknown };
  };
  assert.deepEqual(spec.initContainers, [{ name: "b", ...containerDefaults }]);
  assert.deepEqual(spec.ephemeralContainers, [{ name: "c", ...containerDefaults }]);
});

test("other kinds get theirs", () => {
  assert.deepEqual(defaulted("Secret", { data: {} }), { type: "Opaque", data: {} });
  assert.deepEqual(defaulted("Secret", { type: "" }), { type: "Opaque" });
  assert.deepEqual(defaulted("ConfigMap", {}), {});
  assert.deepEqual(defaulted("Namespace", { metadata: { name: "a" } }), { metadata: { name: "a" } });
});

test("defaulting twice changes nothing, and no two objects share a default", () => {
  const schema = schemaOf({ group: "", version: "v1", kind: "Pod" });
  assert.ok(schema);
  const [first, second] = [
    defaulted("Pod", { spec: { containers: [{ name: "a" }] } }),
    defaulted("Pod", { spec: { containers: [{ name: "a" }] } }),
  ];
  const before = structuredClone(first);
  applyDefaults(schema, first);
  assert.deepEqual(first, before);
  const securityContextOf = (pod: unknown) => (pod as { spec: { securityContext: object } }).spec.securityContext;
  assert.notEqual(securityContextOf(first), securityContextOf(second));
});
