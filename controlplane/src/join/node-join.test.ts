import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { type StatusReason, TesseraError } from "@tessera/proto";
import { CertificateAuthority } from "../auth/certificate-authority.ts";
import { ManualClock, silentLog } from "../controllers/testing/fakes.ts";
import { MemoryRegistry } from "../controllers/testing/memory-registry.ts";
import { NodeJoin } from "./node-join.ts";
import { newSigningKeys, signingRequest, tokenSecret } from "./testing/tokens.ts";

const token = "abcdef.0123456789abcdef";

async function prepare(data: Readonly<Record<string, string>> = {}) {
  const registry = new MemoryRegistry();
  const clock = new ManualClock();
  const authority = await CertificateAuthority.create("test", () => clock.now());
  const connected = new Set<string>();
  await registry.secrets.create(tokenSecret(token, data));
  const join = new NodeJoin({
    secrets: registry.secrets,
    nodes: registry.nodes,
    isConnected: (name) => connected.has(name),
    authority,
    lifetimeMs: 3_600_000,
    now: () => clock.now(),
    log: silentLog,
  });
  const admit = async (nodeName: string, options: { token?: string; request?: string } = {}) =>
    await join.admit({ token: options.token ?? token, nodeName, signingRequest: options.request ?? (await newRequest()) });
  return { registry, clock, authority, connected, admit };
}

const newRequest = async () => await signingRequest(await newSigningKeys());

const refused = (reason: StatusReason, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof TesseraError);
  assert.match(error.message, text);
  assert.equal(error.reason, reason);
  return true;
};

test("a token buys a certificate in the name of the node, whatever the request says, for the time that is set", async () => {
  const { admit, authority, clock } = await prepare();
  const certificate = new X509Certificate(await admit("node-1"));
  assert.equal(certificate.subject, "CN=system:node:node-1\nO=system:nodes");
  assert.ok(certificate.verify(new X509Certificate(authority.pair.certPem).publicKey));
  assert.equal(Date.parse(certificate.validTo), clock.now() + 3_600_000);
  assert.equal(certificate.ca, false);
});

test("who has no valid token hears the same, whatever is wrong with it", async () => {
  const { admit, registry, clock } = await prepare({ expiration: "2030-01-01T00:01:00Z" });
  const other = (id: string, more: Readonly<Record<string, string>>) =>
    registry.secrets.create(tokenSecret(`${id}.0123456789abcdef`, more));
  await other("nologn", { "usage-bootstrap-authentication": "false" });
  await other("notime", { expiration: "soon" });
  const opaque = tokenSecret("opaque.0123456789abcdef");
  await registry.secrets.create({ ...opaque, type: "Opaque" });
  const messages = new Set<string>();
  const tokens = ["abcdef.0123456789abcdee", "unknwn.0123456789abcdef", "nologn.0123456789abcdef", "notime.0123456789abcdef"];
  for (const wrong of [...tokens, "opaque.0123456789abcdef", "", "abcdef", `${token}0`]) {
    // A name and a request that would be refused too: they are not even looked at.
    await assert.rejects(admit("No Name", { token: wrong, request: "none" }), (error) => {
      messages.add((error as TesseraError).message);
      return refused("Unauthorized", /is not valid: .* tsctl join-token create/)(error);
    });
  }
  clock.advance(60_000);
  await assert.rejects(admit("node-1"), refused("Unauthorized", /is not valid/));
  assert.equal(messages.size, 1);
});

test("a token that is used once lets the same machine repeat its request, and no other in", async () => {
  const { admit } = await prepare({ "single-use": "true" });
  const keys = await newSigningKeys();
  const first = new X509Certificate(await admit("node-1", { request: await signingRequest(keys) }));
  const again = new X509Certificate(await admit("node-1", { request: await signingRequest(keys) }));
  assert.deepEqual(again.publicKey.export({ type: "spki", format: "der" }), first.publicKey.export({ type: "spki", format: "der" }));
  await assert.rejects(admit("node-1"), refused("Forbidden", /was used: node "node-1" has joined with it; make another one/));
  await assert.rejects(admit("node-2", { request: await signingRequest(keys) }), refused("Forbidden", /was used/));
});

test("of two machines that use a token at once, one joins", async () => {
  const { admit } = await prepare({ "single-use": "true" });
  const outcomes = await Promise.allSettled([admit("node-1"), admit("node-2"), admit("node-3")]);
  assert.deepEqual(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected", "rejected"]);
});

test("a token without that mark, as kubeadm makes them, lets many in, but not two by one name", async () => {
  const { admit, clock } = await prepare();
  await admit("node-1");
  await admit("node-2");
  await assert.rejects(
    admit("node-1"),
    refused("AlreadyExists", /a machine has joined as node "node-1" less than a minute ago.*--node-name.*try again/),
  );
  // Nobody came by that name.
  clock.advance(60_000);
  await admit("node-1");
});

test("a name that a live node has is refused, and that of a silent one needs a token for it", async () => {
  const { admit, registry, connected } = await prepare();
  await registry.nodes.create({ metadata: { name: "node-1" } });
  connected.add("node-1");
  await assert.rejects(admit("node-1"), refused("AlreadyExists", /node "node-1" exists and is connected/));
  connected.clear();
  await assert.rejects(admit("node-1"), refused("AlreadyExists", /tsctl join-token create --node node-1.*tsctl delete node node-1/));
  await registry.secrets.create(tokenSecret("second.0123456789abcdef", { "node-name": "node-1" }));
  await admit("node-1", { token: "second.0123456789abcdef" });
  await assert.rejects(
    admit("node-2", { token: "second.0123456789abcdef" }),
    refused("Forbidden", /is for node "node-1", not for "node-2"/),
  );
  connected.add("node-1");
  await assert.rejects(admit("node-1", { token: "second.0123456789abcdef" }), refused("AlreadyExists", /./));
});

test("a request proves that its sender has the key", async () => {
  const { admit } = await prepare();
  const forged = await signingRequest(await newSigningKeys(), await newSigningKeys());
  await assert.rejects(admit("node-1", { request: forged }), refused("BadRequest", /not signed by the key/));
  await assert.rejects(admit("node-1", { request: "x" }), refused("BadRequest", /cannot be read: expected PKCS#10/));
  const large = await signingRequest(await newSigningKeys("P-384"));
  await assert.rejects(admit("node-1", { request: large }), refused("BadRequest", /expected ECDSA on P-256/));
  await assert.rejects(admit("Node_1"), refused("BadRequest", /RFC 1123/));
});
