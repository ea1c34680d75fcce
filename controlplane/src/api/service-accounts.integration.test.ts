import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestApi, type TestApi } from "./testing/test-api.ts";

let api: TestApi;
before(async () => {
  api = await startTestApi();
  await api.registry.serviceAccounts.create({ metadata: { name: "builder", namespace: "default" } });
});
after(() => api[Symbol.asyncDispose]());

const tokenPath = "/api/v1/namespaces/default/serviceaccounts/builder/token";
const request = (spec: object) => ({ apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec });

async function createToken(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await api.kubectl(["create", "token", "builder", ...args]);
  assert.equal(code, 0, stderr);
  return stdout.trim();
}

test("kubectl makes a token, and with it somebody is the service account, who may not do much", async () => {
  const token = await createToken();
  const as = (...args: string[]) =>
    api.kubectl([
      "--kubeconfig=/dev/null",
      `--server=${api.url}`,
      `--certificate-authority=${api.pki.caFile}`,
      `--token=${token}`,
      ...args,
    ]);
  const whoami = await as("auth", "whoami");
  assert.match(whoami.stdout, /Username +system:serviceaccount:default:builder\n/, whoami.stderr);
  assert.match(whoami.stdout, /Groups +\[system:serviceaccounts system:serviceaccounts:default system:authenticated\]/);
  const pods = await as("get", "pods");
  assert.equal(pods.code, 1);
  assert.match(
    pods.stderr,
    /Forbidden\): pods is forbidden: User "system:serviceaccount:default:builder" cannot list resource "pods" in API group "" in the namespace "default": service accounts may only discover/,
  );
  assert.match((await as("auth", "can-i", "list", "pods")).stdout, /^no/);
  assert.equal((await as("api-resources")).code, 0);
  assert.equal((await as("version")).code, 0);
});

test("a token for a pod ends with the pod", async () => {
  const pod = {
    metadata: { name: "web", namespace: "default" },
    spec: { serviceAccountName: "builder", containers: [{ name: "c", image: "i" }] },
  };
  await api.registry.pods.create(pod);
  const token = await createToken("--bound-object-kind=Pod", "--bound-object-name=web");
  const client = api.client({ token });
  assert.equal((await client.get("/api")).status, 200);
  await api.registry.pods.create({
    ...pod,
    metadata: { name: "other", namespace: "default" },
    spec: { ...pod.spec, serviceAccountName: "default" },
  });
  const foreign = await api.kubectl(["create", "token", "builder", "--bound-object-kind=Pod", "--bound-object-name=other"]);
  assert.match(foreign.stderr, /pod "other" runs as serviceaccount "default"/);
  await api.registry.pods.remove("default", "web", { graceSeconds: 0 });
  await api.registry.pods.cache.waitFor(await api.store.currentRevision());
  assert.equal((await client.get("/api")).status, 401);
});

test("what a request asks for is checked, and told in the answer", async () => {
  const answer = await api.http.post(tokenPath, request({ audiences: ["vault"], expirationSeconds: 7200 }));
  assert.equal(answer.status, 201, answer.text);
  const { spec, status } = JSON.parse(answer.text) as {
    spec: { audiences: string[]; expirationSeconds: number };
    status: { token: string; expirationTimestamp: string };
  };
  assert.deepEqual([spec.audiences, spec.expirationSeconds], [["vault"], 7200]);
  assert.ok(Math.abs(Date.parse(status.expirationTimestamp) - Date.now() - 7_200_000) < 60_000);
  assert.equal((await api.client({ token: status.token }).get("/api")).status, 401, "is not for the API server");

  const short = await api.http.post(tokenPath, request({ expirationSeconds: 10 }));
  assert.equal(short.status, 422);
  assert.match(short.text, /spec\.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes/);
  const bound = await api.http.post(tokenPath, request({ boundObjectRef: { kind: "ConfigMap", apiVersion: "v1" } }));
  assert.match(bound.text, /spec\.boundObjectRef\.kind: Unsupported value: .*spec\.boundObjectRef\.name: Required/);
  const gone = await api.http.post(tokenPath, request({ boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "none" } }));
  assert.equal(gone.status, 404);
  assert.equal((await api.http.post(tokenPath.replace("builder", "nobody"), request({}))).status, 404);
  assert.equal((await api.http.get(tokenPath)).status, 405);
});

test("services can ask whose token they were given", async () => {
  const review = async (token: string, audiences?: string[]) => {
    const answer = await api.http.post("/apis/authentication.k8s.io/v1/tokenreviews", { spec: { token, audiences } });
    assert.equal(answer.status, 201, answer.text);
    return (
      JSON.parse(answer.text) as {
        status: { authenticated?: boolean; audiences?: string[]; user?: { username: string; groups: string[] } };
      }
    ).status;
  };
  const token = await createToken("--audience=vault", "--audience=bank");
  const known = await review(token, ["bank", "x"]);
  assert.deepEqual([known.authenticated, known.audiences], [true, ["bank"]]);
  assert.equal(known.user?.username, "system:serviceaccount:default:builder");
  assert.ok(known.user?.groups.includes("system:authenticated"));
  assert.notEqual((await review(token)).authenticated, true);
  assert.notEqual((await review(`${token.slice(0, -4)}AAAA`, ["bank"])).authenticated, true);
  assert.equal((await review(api.adminToken)).user?.username, "token-admin");
  assert.notEqual((await review(api.adminToken, ["bank"])).authenticated, true);
});

test("tokens can be checked with what the issuer publishes", async () => {
  const configuration = await api.http.get("/.well-known/openid-configuration");
  const { issuer, jwks_uri } = JSON.parse(configuration.text) as { issuer: string; jwks_uri: string };
  const claims = JSON.parse(Buffer.from((await createToken()).split(".")[1] ?? "", "base64url").toString()) as {
    iss: string;
    aud: string[];
  };
  assert.equal(claims.iss, issuer);
  assert.deepEqual(claims.aud, [issuer]);
  assert.equal(jwks_uri, `${api.url}/openid/v1/jwks`);
  const keys = await api.http.get("/openid/v1/jwks");
  assert.equal(keys.headers["content-type"], "application/jwk-set+json");
  assert.equal((JSON.parse(keys.text) as { keys: unknown[] }).keys.length, 1);
  assert.equal((await api.client().get("/openid/v1/jwks")).status, 401);
});
