import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import type { APIResource } from "../../gen/api.ts";
import { openApiV3, openApiV3Index } from "./openapi-v3.ts";
import { KubectlServer, notFound } from "./testing/kubectl-server.ts";

/**
 * The real kubectl against the smallest server that it accepts: discovery, the OpenAPI documents, and pods in a Map. Shows that what
 * openApiV3 writes is what kubectl's explain and apply need, without falling back to OpenAPI v2.
 */
const verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
const resources: APIResource[] = [
  { name: "pods", singularName: "pod", namespaced: true, kind: "Pod", verbs, shortNames: ["po"] },
  { name: "nodes", singularName: "node", namespaced: false, kind: "Node", verbs },
  { name: "namespaces", singularName: "namespace", namespaced: false, kind: "Namespace", verbs },
];
const fixed: { [path: string]: unknown } = {
  "/version": { major: "1", minor: "32", gitVersion: "v1.32.0" },
  "/api": { kind: "APIVersions", versions: ["v1"] },
  "/apis": { kind: "APIGroupList", apiVersion: "v1", groups: [] },
  "/api/v1": { kind: "APIResourceList", groupVersion: "v1", resources },
  "/openapi/v3": openApiV3Index([{ path: "api/v1", hash: "1" }]),
  "/openapi/v3/api/v1": openApiV3({ group: "", version: "v1" }, resources),
};

const pods = new Map<string, unknown>();
const server = await KubectlServer.start(({ method, path, body }) => {
  if (fixed[path] !== undefined) {
    return [200, fixed[path]];
  }
  if (method === "POST" && path === "/api/v1/namespaces/default/pods") {
    const pod = JSON.parse(body.toString()) as { metadata: { name: string } };
    pods.set(pod.metadata.name, pod);
    return [201, pod];
  }
  const pod = pods.get(/^\/api\/v1\/namespaces\/default\/pods\/([^/]+)$/.exec(path)?.[1] ?? "");
  return pod === undefined ? notFound : [200, pod];
});
after(() => server.close());

test("kubectl explain shows types, allowed values, required fields and our descriptions", async () => {
  const pod = await server.kubectl("explain", "pod");
  assert.match(pod, /KIND: +Pod\nVERSION: +v1\n/);
  assert.match(pod, /spec\t<PodSpec>\n +What should run\./);
  assert.match(
    await server.kubectl("explain", "pod.spec.restartPolicy"),
    /FIELD: restartPolicy <string>\nENUM:\n +Always\n +OnFailure\n +Never\n/,
  );
  assert.match(await server.kubectl("explain", "pod.spec"), /containers\t<\[\]Container> -required-/);
  assert.match(await server.kubectl("explain", "po.spec.containers.resources.limits"), /FIELD: limits <map\[string\]Quantity>/);
  assert.match(
    await server.kubectl("explain", "node.status", "--recursive"),
    /kubeletEndpoint\t<DaemonEndpoint>\n +Port\t<integer> -required-/,
  );
  await assert.rejects(server.kubectl("explain", "pod.spec.nonsense"), /field "nonsense" does not exist/);
});

test("kubectl apply patches lists by the merge keys that we declare", async () => {
  const file = join(server.folder, "pod.yaml");
  const manifest = (image: string, port: number) =>
    `apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n    - name: web\n      image: ${image}\n      ports:\n        - containerPort: ${port}\n`;
  await writeFile(file, manifest("web:1", 80));
  assert.match(await server.kubectl("apply", "-f", file), /pod\/web created/);
  await writeFile(file, manifest("web:2", 81));
  assert.match(await server.kubectl("apply", "-f", file), /pod\/web configured/);

  const patch = server.calls.find(({ method }) => method === "PATCH");
  assert.equal(patch?.type, "application/strategic-merge-patch+json");
  assert.deepEqual((JSON.parse(patch?.body.toString() ?? "{}") as { spec: unknown }).spec, {
    "$setElementOrder/containers": [{ name: "web" }],
    containers: [
      {
        name: "web",
        image: "web:2",
        "$setElementOrder/ports": [{ containerPort: 81 }],
        ports: [{ containerPort: 81 }, { $patch: "delete", containerPort: 80 }],
      },
    ],
  });
  assert.deepEqual(
    server.calls.filter(({ path }) => path.startsWith("/openapi/v2")),
    [],
  );
});
