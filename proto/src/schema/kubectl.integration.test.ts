import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import type { APIResource } from "../../gen/api.ts";
import { openApiV3, openApiV3Index } from "./openapi-v3.ts";

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

interface Call {
  readonly method: string;
  readonly path: string;
  readonly type: string | undefined;
  readonly body: string;
}

const calls: Call[] = [];
const pods = new Map<string, string>();
const folder = await mkdtemp(join(tmpdir(), "kubectl-test-"));
const server = createServer((request, response) => void answer(request, response));

before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
after(async () => {
  server.close();
  await rm(folder, { recursive: true });
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) {
    chunks.push(chunk as Buffer);
  }
  const { pathname: path } = new URL(request.url ?? "", "http://localhost");
  const call = { method: request.method ?? "", path, type: request.headers["content-type"], body: Buffer.concat(chunks).toString() };
  calls.push(call);
  const [status, body] = route(call);
  response.writeHead(status, { "content-type": "application/json" }).end(typeof body === "string" ? body : JSON.stringify(body));
}

function route({ method, path, body }: Call): [status: number, body: unknown] {
  const fixed: { [path: string]: unknown } = {
    "/version": { major: "1", minor: "32", gitVersion: "v1.32.0" },
    "/api": { kind: "APIVersions", versions: ["v1"] },
    "/apis": { kind: "APIGroupList", apiVersion: "v1", groups: [] },
    "/api/v1": { kind: "APIResourceList", groupVersion: "v1", resources },
    "/openapi/v3": openApiV3Index([{ path: "api/v1", hash: "1" }]),
    "/openapi/v3/api/v1": openApiV3({ group: "", version: "v1" }, resources),
  };
  if (fixed[path] !== undefined) {
    return [200, fixed[path]];
  }
  const name = /^\/api\/v1\/namespaces\/default\/pods\/([^/]+)$/.exec(path)?.[1];
  if (method === "POST" && path === "/api/v1/namespaces/default/pods") {
    pods.set((JSON.parse(body) as { metadata: { name: string } }).metadata.name, body);
    return [201, body];
  }
  const pod = name === undefined ? undefined : pods.get(name);
  return pod === undefined ? [404, { kind: "Status", apiVersion: "v1", status: "Failure", reason: "NotFound", code: 404 }] : [200, pod];
}

async function kubectl(...args: string[]): Promise<string> {
  const { port } = server.address() as AddressInfo;
  const { stdout } = await promisify(execFile)(
    "kubectl",
    ["--server", `http://127.0.0.1:${port}`, "--cache-dir", join(folder, "cache"), ...args],
    {
      env: { PATH: process.env["PATH"], HOME: folder, KUBECONFIG: join(folder, "none") },
      timeout: 20_000,
    },
  );
  return stdout;
}

test("kubectl explain shows types, allowed values, required fields and our descriptions", async () => {
  const pod = await kubectl("explain", "pod");
  assert.match(pod, /KIND: +Pod\nVERSION: +v1\n/);
  assert.match(pod, /spec\t<PodSpec>\n +What should run\./);
  assert.match(
    await kubectl("explain", "pod.spec.restartPolicy"),
    /FIELD: restartPolicy <string>\nENUM:\n +Always\n +OnFailure\n +Never\n/,
  );
  const spec = await kubectl("explain", "pod.spec");
  assert.match(spec, /containers\t<\[\]Container> -required-/);
  assert.match(await kubectl("explain", "po.spec.containers.resources.limits"), /FIELD: limits <map\[string\]Quantity>/);
  assert.match(await kubectl("explain", "node.status", "--recursive"), /kubeletEndpoint\t<DaemonEndpoint>\n +Port\t<integer> -required-/);
  await assert.rejects(kubectl("explain", "pod.spec.nonsense"), /field "nonsense" does not exist/);
});

test("kubectl apply patches lists by the merge keys that we declare", async () => {
  const file = join(folder, "pod.yaml");
  const manifest = (image: string, port: number) =>
    `apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n    - name: web\n      image: ${image}\n      ports:\n        - containerPort: ${port}\n`;
  await writeFile(file, manifest("web:1", 80));
  assert.match(await kubectl("apply", "-f", file), /pod\/web created/);
  await writeFile(file, manifest("web:2", 81));
  assert.match(await kubectl("apply", "-f", file), /pod\/web configured/);

  const patch = calls.find(({ method }) => method === "PATCH");
  assert.equal(patch?.type, "application/strategic-merge-patch+json");
  assert.deepEqual((JSON.parse(patch?.body ?? "{}") as { spec: unknown }).spec, {
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
    calls.filter(({ path }) => path.startsWith("/openapi/v2")),
    [],
  );
});
