import assert from "node:assert/strict";
import { after, test } from "node:test";
import { decodeProtobuf, protobufContentType } from "./protobuf.ts";
import { KubectlServer, notFound } from "./testing/kubectl-server.ts";

/** The real kubectl makes objects through clients that speak protobuf and do not fall back to JSON when refused. */
const server = await KubectlServer.start(({ method, path, body, type }) => {
  if (method !== "POST") {
    return path === "/version" ? [200, { major: "1", minor: "32" }] : notFound;
  }
  return [201, type === protobufContentType ? decodeProtobuf(body) : JSON.parse(body.toString())];
});
after(() => server.close());

/** What kubectl sent last, decoded. */
async function sent(...args: string[]): Promise<unknown> {
  await server.kubectl(...args, "-o", "json");
  const call = server.calls.findLast(({ method }) => method === "POST");
  assert.equal(call?.type, protobufContentType, "kubectl sends protobuf");
  return decodeProtobuf(call.body);
}

test("what kubectl create sends becomes the JSON that it means", async () => {
  assert.deepEqual(await sent("create", "configmap", "settings", "--from-literal=a=1", "--from-literal=b="), {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "settings", generation: 0 },
    data: { a: "1", b: "" },
  });
  assert.deepEqual(await sent("create", "secret", "generic", "key", "--from-literal=password=geheim"), {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "key", generation: 0 },
    data: { password: Buffer.from("geheim").toString("base64") },
  });
  assert.deepEqual(await sent("create", "namespace", "team"), {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "team", generation: 0 },
    spec: {},
    status: {},
  });
  assert.deepEqual(await sent("create", "serviceaccount", "robot"), {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "robot", generation: 0 },
  });
});

test("what kubectl auth whoami sends is understood", async () => {
  assert.deepEqual(await sent("auth", "whoami"), {
    apiVersion: "authentication.k8s.io/v1",
    kind: "SelfSubjectReview",
    metadata: { generation: 0 },
    status: { userInfo: {} },
  });
});
