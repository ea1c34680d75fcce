import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { writeKubeconfig } from "../auth/kubeconfig.ts";
import { startTestApi, type TestApi } from "./testing/test-api.ts";

const base = "/apis/authorization.k8s.io/v1";

let api: TestApi;
before(async () => {
  api = await startTestApi();
});
after(() => api[Symbol.asyncDispose]());

/** The status of a review; the question is in `spec`. */
async function ask(path: string, spec: object): Promise<unknown> {
  const answer = await api.http.post(base + path, { spec });
  assert.equal(answer.status, 201, answer.text);
  return answer.json.status;
}

/** The paths of what is wrong with a review. */
async function faultsOf(path: string, spec: object): Promise<string[]> {
  const answer = await api.http.post(base + path, { spec });
  assert.deepEqual([answer.status, answer.json.reason], [422, "Invalid"], answer.text);
  return answer.json.details.causes.map((cause: { field: string }) => cause.field);
}

const getPods = { resourceAttributes: { verb: "get", resource: "pods", namespace: "default" } };
const refused = { allowed: false, reason: "nodes use the node protocol, not the HTTP API" };

test("the caller's rights are those that requests are measured by", async () => {
  assert.deepEqual(await ask("/selfsubjectaccessreviews", getPods), { allowed: true });
  assert.deepEqual(await ask("/selfsubjectaccessreviews", { nonResourceAttributes: { verb: "get", path: "/metrics" } }), { allowed: true });
  assert.deepEqual(await ask("/selfsubjectrulesreviews", { namespace: "default" }), {
    resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }],
    nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
    incomplete: false,
  });
});

test("somebody else's rights follow from their name and groups", async () => {
  const node = { user: "system:node:a", groups: ["system:nodes"] };
  assert.deepEqual(await ask("/subjectaccessreviews", { ...getPods, user: "jane" }), { allowed: true });
  assert.deepEqual(await ask("/subjectaccessreviews", { ...getPods, ...node }), refused);
  assert.deepEqual(await ask("/subjectaccessreviews", { nonResourceAttributes: { verb: "get", path: "/metrics" }, ...node }), refused);
  const local = "/namespaces/default/localsubjectaccessreviews";
  assert.deepEqual(await ask(local, { resourceAttributes: { verb: "get", resource: "pods" }, user: "jane" }), { allowed: true });
  assert.deepEqual(await ask(local, { ...getPods, ...node }), refused);
});

test("a review that asks nothing, or two things, is refused", async () => {
  const nonResourceAttributes = { verb: "get", path: "/" };
  const selector = { rawSelector: "a=b", requirements: [{ key: "a", operator: "Exists" }] };
  assert.deepEqual(await faultsOf("/selfsubjectaccessreviews", {}), ["spec.resourceAttributes"]);
  assert.deepEqual(await faultsOf("/selfsubjectaccessreviews", { ...getPods, nonResourceAttributes }), ["spec.nonResourceAttributes"]);
  assert.deepEqual(await faultsOf("/selfsubjectaccessreviews", { resourceAttributes: { labelSelector: selector } }), [
    "spec.resourceAttributes.labelSelector.rawSelector",
  ]);
  assert.deepEqual(await faultsOf("/subjectaccessreviews", getPods), ["spec.user"]);
  const local = "/namespaces/kube-system/localsubjectaccessreviews";
  assert.deepEqual(await faultsOf(local, { ...getPods, user: "jane" }), ["spec.resourceAttributes.namespace"]);
  assert.deepEqual(await faultsOf(local, { nonResourceAttributes, user: "jane" }), [
    "spec.nonResourceAttributes",
    "spec.resourceAttributes",
  ]);
  assert.equal((await api.http.post(`${base}/selfsubjectrulesreviews`, { spec: {} })).status, 400);
});

test("kubectl auth can-i says yes, no, and what", async () => {
  const yes = await api.kubectl(["auth", "can-i", "create", "pods/exec"]);
  assert.deepEqual([yes.code, yes.stdout], [0, "yes\n"], yes.stderr);
  const list = await api.kubectl(["auth", "can-i", "--list"]);
  assert.match(
    list.stdout,
    /^Resources +Non-Resource URLs +Resource Names +Verbs\n\*\.\* +\[\] +\[\] +\[\*\]\n +\[\*\] +\[\] +\[\*\]\n$/,
    list.stderr,
  );
});

test("who may do nothing may not even ask", async () => {
  const { certPem, keyPem } = await api.pki.authority.issue({
    commonName: "system:node:n",
    organizations: ["system:nodes"],
    usages: ["client"],
  });
  const kubeconfig = `${api.dir}/node.kubeconfig`;
  await writeKubeconfig(kubeconfig, { server: api.url, caPem: api.pki.authority.pair.certPem, user: { certPem, keyPem }, name: "node" });
  const { code, stderr } = await api.kubectl(["auth", "can-i", "get", "pods"], undefined, { KUBECONFIG: kubeconfig });
  assert.equal(code, 1);
  assert.match(stderr, /selfsubjectaccessreviews\.authorization\.k8s\.io is forbidden/);
});
