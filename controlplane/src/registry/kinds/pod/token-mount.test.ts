import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodSpec } from "@tessera/proto";
import { keepTokenMount, mountToken } from "./token-mount.ts";

const path = "/var/run/secrets/kubernetes.io/serviceaccount";

test("every container gets the token, the CA and the namespace, once", () => {
  const spec: PodSpec = {
    containers: [{ name: "a" }, { name: "b", volumeMounts: [{ name: "x", mountPath: "/x" }] }],
    initContainers: [{ name: "i" }],
  };
  mountToken(spec);
  const [volume] = spec.volumes ?? [];
  assert.match(volume?.name ?? "", /^kube-api-access-[a-z0-9]{5}$/);
  const mount = { name: volume?.name, readOnly: true, mountPath: path };
  assert.deepEqual(
    spec.containers?.map(({ volumeMounts }) => volumeMounts),
    [[mount], [{ name: "x", mountPath: "/x" }, mount]],
  );
  assert.deepEqual(spec.initContainers?.[0]?.volumeMounts, [mount]);
  assert.deepEqual(
    volume?.projected?.sources?.map((source) => Object.keys(source)[0]),
    ["serviceAccountToken", "configMap", "downwardAPI"],
  );
  const before = structuredClone(spec);
  mountToken(spec);
  assert.deepEqual(spec, before);
});

test("what a container has at that place stays, and without any use for it there is no volume", () => {
  const own = [{ name: "own", mountPath: path }];
  const spec: PodSpec = { containers: [{ name: "a", volumeMounts: own }] };
  mountToken(spec);
  assert.deepEqual(spec, { containers: [{ name: "a", volumeMounts: own }] });
});

test("a manifest without the volume brings it back, where the pod has it", () => {
  const manifest = (): PodSpec => ({ containers: [{ name: "a", image: "1" }], volumes: [{ name: "v" }] });
  const current = manifest();
  mountToken(current);
  const next = manifest();
  keepTokenMount(next, current);
  assert.deepEqual(next, current);
  const bare = manifest();
  keepTokenMount(bare, manifest());
  assert.deepEqual(bare, manifest());
});
