import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { createServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { pino } from "pino";
import { joinCluster } from "./join.ts";
import { CredentialsFolder } from "./node-credentials.ts";
import { publicKeyDigest } from "./pinned-ca.ts";
import { TestCa } from "./testing/test-ca.ts";

interface Question {
  readonly authorization: string | undefined;
  readonly nodeName: string;
  readonly certificateSigningRequest: string;
}

type Answer = { readonly code: number; readonly body: unknown } | "hang up";

interface Fixture {
  readonly ca: TestCa;
  readonly asked: Question[];
  readonly settings: { join: string; token: string; caHash: string; nodeName: string; credentials: string };
  answer: (question: Question) => Promise<Answer>;
}

/** A control plane that only lets machines in, and the settings with which one joins. */
async function prepare(t: TestContext, names: readonly string[] = ["kubernetes"]): Promise<Fixture> {
  const ca = await TestCa.create();
  const { cert, key } = await ca.server(names);
  const dir = await mkdtemp(join(tmpdir(), "tessera-join-"));
  const server = createServer({ cert: `${cert}${ca.pem}`, key });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await rm(dir, { recursive: true, force: true });
  });
  const fixture: Fixture = {
    ca,
    asked: [],
    settings: {
      join: `127.0.0.1:${(server.address() as AddressInfo).port}`,
      token: "abcdef.0123456789abcdef",
      caHash: publicKeyDigest(new X509Certificate(ca.pem)),
      nodeName: "node-1",
      credentials: join(dir, "credentials"),
    },
    answer: async ({ certificateSigningRequest, nodeName }) => ({
      code: 200,
      body: { certificate: await ca.sign(certificateSigningRequest, nodeName), nodePort: 6444 },
    }),
  };
  server.on("request", async (request: IncomingMessage, response) => {
    const question = { authorization: request.headers.authorization, ...JSON.parse(await text(request)) } as Question;
    fixture.asked.push(question);
    const answer = await fixture.answer(question);
    if (answer === "hang up") return response.destroy();
    response.writeHead(answer.code).end(JSON.stringify(answer.body));
  });
  return fixture;
}

const log = pino({ level: "silent" });

test("a machine joins once", async (t) => {
  const { settings, asked } = await prepare(t);
  assert.equal(await joinCluster(settings, log), true);
  assert.equal(asked[0]?.authorization, `Bearer ${settings.token}`);
  assert.equal(await new CredentialsFolder(settings.credentials).controlPlane(), "127.0.0.1:6444");
  const key = await readFile(join(settings.credentials, "node.key"), "utf8");
  assert.equal(await joinCluster(settings, log), false);
  assert.equal(asked.length, 1);
  assert.equal(await readFile(join(settings.credentials, "node.key"), "utf8"), key);
});

test("after an answer that never came the same key is sent again", async (t) => {
  const fixture = await prepare(t);
  const { settings, asked } = fixture;
  const right = fixture.answer;
  fixture.answer = async () => "hang up";
  await assert.rejects(joinCluster(settings, log), { reason: "ServiceUnavailable", message: /it can be repeated/ });
  // As after a mistyped token: the answer may be to be had yet.
  fixture.answer = async () => used;
  await assert.rejects(joinCluster(settings, log), { reason: "Forbidden" });
  fixture.answer = right;
  assert.equal(await joinCluster(settings, log), true);
  const keys = await Promise.all(
    asked.map(async ({ certificateSigningRequest }) => new X509Certificate(await fixture.ca.sign(certificateSigningRequest, "x"))),
  );
  assert.equal(new Set(keys.map(publicKeyDigest)).size, 1);
});

test("a control plane with another CA gets neither token nor request", async (t) => {
  const { settings, asked } = await prepare(t);
  const other = publicKeyDigest(new X509Certificate((await TestCa.create()).pem));
  await assert.rejects(joinCluster({ ...settings, caHash: other }, log), {
    reason: "Forbidden",
    message: new RegExp(`shows the CA ${settings.caHash}, not ${other}: .*tsctl join-token create`),
  });
  assert.deepEqual(asked, []);
  assert.deepEqual(await readdir(settings.credentials), ["agent.lock"]);
});

test("who shows the right CA, but has no certificate of it, gets nothing either", async (t) => {
  const { settings, ca } = await prepare(t);
  const thief = await TestCa.create();
  const { cert, key } = await thief.server(["kubernetes"]);
  const server = createServer({ cert: `${cert}${thief.pem}${ca.pem}`, key }, () => assert.fail("was asked"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  await assert.rejects(joinCluster({ ...settings, join: `127.0.0.1:${(server.address() as AddressInfo).port}` }, log), (error: Error) =>
    /shows the CA|certificate/.test(error.message),
  );
  const { settings: named } = await prepare(t, ["somebody-else"]);
  await assert.rejects(joinCluster(named, log), { reason: "ServiceUnavailable", message: /kubernetes/ });
});

const used: Answer = { code: 403, body: { kind: "Status", reason: "Forbidden", message: "the join token was used" } };

test("what the control plane refuses is told as it says it, and leaves no key", async (t) => {
  const fixture = await prepare(t);
  fixture.answer = async () => used;
  await assert.rejects(joinCluster(fixture.settings, log), { reason: "Forbidden", message: /refuses: the join token was used/ });
  assert.deepEqual(await readdir(fixture.settings.credentials), ["agent.lock"]);
  fixture.answer = async () => ({ code: 200, body: { hello: "world" } });
  await assert.rejects(joinCluster(fixture.settings, log), { message: /answered 200, but not as a control plane/ });
  fixture.answer = async ({ certificateSigningRequest }) => ({
    code: 200,
    body: { certificate: await (await TestCa.create()).sign(certificateSigningRequest, "node-1"), nodePort: 1 },
  });
  await assert.rejects(joinCluster(fixture.settings, log), { message: /not signed by the cluster's CA/ });
  assert.equal(await new CredentialsFolder(fixture.settings.credentials).read(), undefined);
});

test("credentials of another node are not overwritten, and those that have expired are", async (t) => {
  const fixture = await prepare(t);
  const { settings } = fixture;
  const right = fixture.answer;
  fixture.answer = async ({ certificateSigningRequest }) => ({
    code: 200,
    body: { certificate: await fixture.ca.sign(certificateSigningRequest, "node-1", new Date(Date.now() - 1000)), nodePort: 6444 },
  });
  await joinCluster(settings, log);
  await assert.rejects(joinCluster({ ...settings, nodeName: "node-2" }, log), {
    reason: "Conflict",
    message: /holds the credentials of node "node-1": join with --node-name node-1, or remove them/,
  });
  fixture.answer = right;
  assert.equal(await joinCluster(settings, log), true);
  assert.equal(await joinCluster(settings, log), false);
});

test("a node of one cluster does not become one of another by joining, not even under the same name", async (t) => {
  const [{ settings }, other] = [await prepare(t), await prepare(t)];
  await joinCluster(settings, log);
  await assert.rejects(joinCluster({ ...other.settings, credentials: settings.credentials }, log), {
    reason: "Conflict",
    message: new RegExp(`holds the credentials of a node of another cluster, whose CA is ${settings.caHash}: .*${other.settings.caHash}`),
  });
  assert.deepEqual(other.asked, []);
});

for (const [what, listener] of [
  ["the port for agents", async (ca: TestCa) => createTlsServer({ ...(await ca.server(["kubernetes"])), ALPNProtocols: ["h2"] })],
  ["a port without TLS", async () => createTcpServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"))],
] as const) {
  test(`${what} is told from the API's`, async (t) => {
    const { settings, ca } = await prepare(t);
    const server = (await listener(ca)).listen(0, "127.0.0.1");
    t.after(() => server.close());
    await once(server, "listening");
    const other = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    await assert.rejects(joinCluster({ ...settings, join: other }, log), {
      message: new RegExp(
        `^cannot reach the control plane at ${other}: what listens there is not the API, whose port usually is 6443 \\(ERR_SSL_\\w+\\)$`,
      ),
    });
  });
}

for (const [what, change, message] of [
  ["an address", { join: "a:b" }, /--join "a:b" is not HOST:PORT/],
  ["a digest", { caHash: "sha256:abc" }, /--ca-hash "sha256:abc" is not/],
  ["a control plane", { join: "127.0.0.1:1" }, /cannot reach the control plane at 127.0.0.1:1: .*ECONNREFUSED/],
] as const) {
  test(`${what} that is none is told`, async (t) => {
    const { settings } = await prepare(t);
    await assert.rejects(joinCluster({ ...settings, ...change }, log), { message });
  });
}
