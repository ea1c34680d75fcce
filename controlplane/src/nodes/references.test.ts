import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodSpec } from "@tessera/proto";
import { podReferences, referenceKey } from "./references.ts";

const configMap = (name: string) => `ConfigMap/default/${name}`;
const secret = (name: string) => `Secret/default/${name}`;

const cases: { says: string; spec: PodSpec; names: string[] }[] = [
  { says: "nothing", spec: { containers: [{ env: [{ name: "A", value: "1" }] }], volumes: [{ name: "v", emptyDir: {} }] }, names: [] },
  {
    says: "single variables",
    spec: {
      containers: [
        {
          env: [
            { name: "A", valueFrom: { configMapKeyRef: { name: "c", key: "k" } } },
            { name: "B", valueFrom: { secretKeyRef: { name: "s", key: "k", optional: true } } },
            { name: "C", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
          ],
        },
      ],
    },
    names: [configMap("c"), secret("s")],
  },
  {
    says: "whole environments, of containers of every sort",
    spec: {
      containers: [{ envFrom: [{ configMapRef: { name: "a" } }] }],
      initContainers: [{ envFrom: [{ secretRef: { name: "b" } }] }],
      ephemeralContainers: [{ envFrom: [{ secretRef: { name: "c" } }] }],
    },
    names: [secret("b"), configMap("a"), secret("c")],
  },
  {
    says: "volumes",
    spec: {
      volumes: [
        { name: "a", configMap: { name: "c" } },
        { name: "b", secret: { secretName: "s" } },
      ],
    },
    names: [configMap("c"), secret("s")],
  },
  {
    says: "projected volumes",
    spec: {
      volumes: [{ name: "a", projected: { sources: [{ configMap: { name: "c" } }, { secret: { name: "s" } }, { downwardAPI: {} }] } }],
    },
    names: [configMap("c"), secret("s")],
  },
  { says: "image pull secrets", spec: { imagePullSecrets: [{ name: "s" }] }, names: [secret("s")] },
  {
    says: "one object often: once",
    spec: { volumes: [{ name: "a", secret: { secretName: "s" } }], imagePullSecrets: [{ name: "s" }] },
    names: [secret("s")],
  },
  {
    says: "tokens for itself and for others",
    spec: {
      volumes: [
        {
          name: "a",
          projected: {
            sources: [
              { serviceAccountToken: { path: "token", expirationSeconds: 3607 } },
              { serviceAccountToken: { path: "vault", audience: "https://vault/x" } },
            ],
          },
        },
      ],
    },
    names: ["ServiceAccountToken/default/u/3607/", "ServiceAccountToken/default/u/3600/https://vault/x"],
  },
];

for (const { says, spec, names } of cases) {
  test(`a pod that names ${says}`, () => {
    assert.deepEqual(podReferences({ namespace: "default", uid: "u" }, spec).map(referenceKey), names);
  });
}
