import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import type { Pod } from "@tessera/proto";
import { ManualClock } from "../controllers/testing/fakes.ts";
import { MemoryRegistry } from "../controllers/testing/memory-registry.ts";
import { authorize } from "./authorize.ts";
import { toSigningKey } from "./jwt.ts";
import { ServiceAccountTokens } from "./service-account-tokens.ts";

async function prepare() {
  const registry = new MemoryRegistry();
  const clock = new ManualClock();
  const account = await registry.serviceAccounts.create({ metadata: { name: "builder", namespace: "shop" } });
  const pod = await registry.pods.create({ metadata: { name: "web", namespace: "shop" }, spec: { nodeName: "node-1" } });
  const node = await registry.nodes.create({ metadata: { name: "node-1" } });
  const tokens = new ServiceAccountTokens({
    key: toSigningKey(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey),
    caches: {
      serviceAccounts: registry.serviceAccounts.cache,
      pods: registry.pods.cache,
      secrets: registry.secrets.cache,
      nodes: registry.nodes.cache,
    },
    now: () => clock.now(),
  });
  const bound = { kind: "Pod", name: "web", uid: pod.metadata?.uid ?? "" } as const;
  const forPod = (expirationSeconds = 3600) => tokens.issue(account, { expirationSeconds, bound, nodeName: "node-1" });
  return { registry, clock, account, pod, node, tokens, forPod };
}

test("a token names its account, its groups, and the pod and node that it is for", async () => {
  const { tokens, forPod, account, pod, node } = await prepare();
  const { token } = forPod();
  const { extra, ...user } = tokens.check(token)?.user ?? {};
  assert.deepEqual(user, {
    name: "system:serviceaccount:shop:builder",
    uid: account.metadata?.uid,
    groups: ["system:serviceaccounts", "system:serviceaccounts:shop"],
  });
  const { "authentication.kubernetes.io/credential-id": [credential = ""] = [], ...rest } = extra ?? {};
  assert.match(credential, /^JTI=[0-9a-f-]{36}$/);
  assert.deepEqual(rest, {
    "authentication.kubernetes.io/pod-name": ["web"],
    "authentication.kubernetes.io/pod-uid": [pod.metadata?.uid],
    "authentication.kubernetes.io/node-name": ["node-1"],
    "authentication.kubernetes.io/node-uid": [node.metadata?.uid],
  });
});

test("a token ends with its time", async () => {
  const { tokens, forPod, clock } = await prepare();
  const { token, expiresAtMs } = forPod(600);
  assert.equal(expiresAtMs, clock.now() + 600_000);
  clock.advance(599_999);
  assert.ok(tokens.check(token));
  clock.advance(1);
  assert.equal(tokens.check(token), undefined);
});

test("a token is for its audiences only", async () => {
  const { tokens, account } = await prepare();
  const { token } = tokens.issue(account, { audiences: ["vault", "bank"], expirationSeconds: 600 });
  assert.equal(tokens.check(token), undefined);
  assert.deepEqual(tokens.check(token, ["bank", "shop"])?.audiences, ["bank"]);
});

test("a token ends with its pod, and a pod that is told to go has a minute", async () => {
  const { tokens, forPod, registry, clock, pod } = await prepare();
  const { token } = forPod();
  const mark = (current: Pod): Pod => ({ ...current, metadata: { ...current.metadata, deletionTimestamp: "2030-01-01T00:00:30Z" } });
  registry.pods.cache.put(mark(pod));
  clock.advance(89_999);
  assert.ok(tokens.check(token));
  clock.advance(1);
  assert.equal(tokens.check(token), undefined);
});

test("an object of the same name made anew does not bring a token back", async () => {
  for (const resource of ["pods", "serviceAccounts"] as const) {
    const { tokens, forPod, registry } = await prepare();
    const { token } = forPod();
    const name = resource === "pods" ? "web" : "builder";
    await registry[resource].remove("shop", name, { graceSeconds: 0 });
    assert.equal(tokens.check(token), undefined, `${resource} gone`);
    await registry[resource].create({ metadata: { name, namespace: "shop" } });
    assert.equal(tokens.check(token), undefined, `${resource} anew`);
  }
});

test("service accounts see what there is and who they are, and nothing else", () => {
  const user = { name: "system:serviceaccount:shop:builder", groups: ["system:serviceaccounts", "system:authenticated"] };
  const may = (verb: string, path: string, group = "", resource = "") =>
    authorize(user, { verb, path, group, resource, namespace: "", name: "" }).allowed;
  for (const path of [
    "/api",
    "/apis/metrics.k8s.io/v1beta1",
    "/openapi/v3/api/v1",
    "/version",
    "/.well-known/openid-configuration",
    "/openid/v1/jwks",
  ])
    assert.ok(may("get", path), path);
  assert.ok(may("create", "", "authentication.k8s.io", "selfsubjectreviews"));
  assert.ok(may("create", "", "authorization.k8s.io", "selfsubjectaccessreviews"));
  for (const path of ["/metrics", "/apishop", "/logs"]) assert.equal(may("get", path), false, path);
  assert.equal(may("post", "/api"), false);
  for (const [verb, group, resource] of [
    ["list", "", "pods"],
    ["get", "", "secrets"],
    ["create", "", "serviceaccounts/token"],
    ["create", "authentication.k8s.io", "tokenreviews"],
    ["create", "", "selfsubjectreviews"],
  ] as const)
    assert.equal(may(verb, "", group, resource), false, `${verb} ${resource}`);
});
