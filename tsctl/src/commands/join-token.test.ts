import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { FakeServer } from "../testing/fake-server.ts";
import { now, runTsctl } from "../testing/run.ts";

const secrets = "/api/v1/namespaces/kube-system/secrets";
const shell = (script: string, input?: string) =>
  execFileSync("sh", ["-c", script], { input, encoding: "utf8", stdio: ["pipe", "pipe", "ignore"] });

async function serve(): Promise<{ server: FakeServer; hash: string }> {
  const server = await FakeServer.start();
  const ca = shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=ca -keyout /dev/null");
  // The digest as kubeadm's documentation has people compute it.
  const hash = shell("openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | sha256sum", ca).split(" ")[0] ?? "";
  server.on("GET /api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt", { body: { data: { "ca.crt": ca } } });
  server.on(`POST ${secrets}`, { status: 201, body: {} });
  return { server, hash };
}

describe("join-token create", () => {
  it("makes a token that works once, for a day, and prints the command line for it", async () => {
    const { server, hash } = await serve();
    await using _ = server;
    const { code, stdout, stderr } = await runTsctl(["join-token", "create", "--server", "10.0.0.1:6443"], { server });
    assert.deepEqual([code, stderr], [0, ""]);
    const line = /^sh install\.sh agent --join 10\.0\.0\.1:6443 --token ([a-z0-9]{6})\.([a-z0-9]{16}) --ca-hash sha256:(\S+)\n$/.exec(
      stdout,
    );
    assert.equal(line?.[3], hash, stdout);
    const [created] = server.asked("POST").map(({ body }) => JSON.parse(body));
    assert.equal(created.type, "bootstrap.kubernetes.io/token");
    assert.equal(created.metadata.name, `bootstrap-token-${line?.[1]}`);
    assert.deepEqual(created.stringData, {
      "token-id": line?.[1],
      "token-secret": line?.[2],
      "usage-bootstrap-authentication": "true",
      expiration: `${new Date(now + 86_400_000).toISOString().slice(0, 19)}Z`,
      "single-use": "true",
    });
  });

  it("makes one for a node, or for many machines", async () => {
    const { server } = await serve();
    await using _ = server;
    const one = await runTsctl(["join-token", "create", "--node", "node-3", "--ttl", "0", "--description", "new disk"], { server });
    assert.match(one.stdout, / --node-name node-3\n$/);
    assert.match(one.stderr, /is this machine for itself only: for others give --server/);
    await runTsctl(["join-token", "create", "--reusable", "-o", "json"], { server });
    const [first, second] = server.asked("POST").map(({ body }) => JSON.parse(body).stringData);
    assert.deepEqual([first["node-name"], first.expiration, first.description], ["node-3", undefined, "new disk"]);
    assert.equal(second["single-use"], undefined);
  });
});

describe("join-token list and delete", () => {
  const secret = (data: Record<string, string>) => ({
    type: "bootstrap.kubernetes.io/token",
    data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString("base64")])),
  });

  it("shows whom each token lets in, but no secret", async () => {
    await using server = await FakeServer.start();
    const items = [
      secret({
        "token-id": "aaaaaa",
        "token-secret": "verysecretsecret",
        "single-use": "true",
        "used-by-node": "node-1",
        expiration: "2026-11-21T13:00:00Z",
      }),
      secret({
        "token-id": "bbbbbb",
        "token-secret": "verysecretsecret",
        "node-name": "node-2",
        "single-use": "true",
        description: "spare",
      }),
      secret({ "token-id": "cccccc", "token-secret": "verysecretsecret", expiration: "2026-11-21T11:00:00Z" }),
    ];
    server.on(`GET ${secrets}`, { body: { items } });
    const { stdout } = await runTsctl(["join-token", "list"], { server });
    assert.deepEqual(
      stdout
        .trimEnd()
        .split("\n")
        .map((line) => line.trim().split(/ {2,}/)),
      [
        ["ID", "EXPIRES", "NODE", "USED BY", "DESCRIPTION"],
        ["aaaaaa", "60m", "<any>", "node-1"],
        ["bbbbbb", "<never>", "node-2", "<none>", "spare"],
        ["cccccc", "<expired>", "<any>", "<reusable>"],
      ],
    );
    assert.equal(server.asked("GET").at(-1)?.query.get("fieldSelector"), "type=bootstrap.kubernetes.io/token");
    const json = await runTsctl(["join-token", "ls", "-o", "json"], { server });
    assert.equal(JSON.parse(json.stdout).length, 3);
    assert.doesNotMatch(stdout + json.stdout, /verysecret/);
  });

  it("deletes by id or by the token, and tells which is not there", async () => {
    await using server = await FakeServer.start();
    server.on(`DELETE ${secrets}/bootstrap-token-aaaaaa`, { body: { kind: "Status", status: "Success" } });
    assert.equal((await runTsctl(["join-token", "delete", "aaaaaa.0123456789abcdef"], { server })).stdout, "join token aaaaaa deleted\n");
    const none = await runTsctl(["join-token", "delete", "bbbbbb"], { server });
    assert.deepEqual([none.code, /there is no join token "bbbbbb"; "tsctl join-token list"/.test(none.stderr)], [1, true]);
  });
});
