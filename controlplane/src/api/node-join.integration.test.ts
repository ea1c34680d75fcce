import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { newSigningKeys, signingRequest, tokenSecret } from "../join/testing/tokens.ts";
import { startTestApi } from "./testing/test-api.ts";

const path = "/join/v1/nodes";
const token = "abcdef.0123456789abcdef";

test("a machine gets a certificate with which it is a node, and a token is good for nothing else", async () => {
  await using api = await startTestApi({ connectedNodes: ["node-1"] });
  await api.registry.secrets.create(tokenSecret(token, { "single-use": "true" }));
  const certificateSigningRequest = await signingRequest(await newSigningKeys());
  const machine = api.client({ token });
  const ask = (nodeName: string, client = machine) => client.post(path, { nodeName, certificateSigningRequest });

  assert.equal((await machine.get("/api/v1/nodes")).status, 401);
  const taken = await ask("node-1");
  assert.deepEqual([taken.status, taken.json.reason], [409, "AlreadyExists"]);
  const answer = await ask("node-2");
  assert.equal(answer.status, 200);
  const { certificate, nodePort } = answer.json as unknown as { certificate: string; nodePort: number };
  assert.equal(nodePort, 6444);
  assert.match(new X509Certificate(certificate).subject, /^CN=system:node:node-2$/m);
  const { stdout } = await api.kubectl([
    "get",
    "secret",
    "-n",
    "kube-system",
    "bootstrap-token-abcdef",
    "-o",
    "jsonpath={.data.used-by-node}",
  ]);
  assert.equal(Buffer.from(stdout, "base64").toString(), "node-2");
  assert.equal((await ask("node-3")).status, 403);
  assert.equal((await machine.get(path)).status, 405);
  assert.equal((await machine.post(path, { nodeName: "node-2" })).status, 400);

  // Guessing is slow, and who guesses is not told more than that it was wrong.
  const guesser = api.client({ token: "abcdef.0123456789abcdee" });
  const answers = [];
  for (let i = 0; i < 12; i++) answers.push(await ask("node-1", guesser));
  assert.deepEqual(new Set(answers.slice(0, 8).map(({ status }) => status)), new Set([401]));
  assert.equal(answers.at(-1)?.status, 429);
  assert.ok(Number(answers.at(-1)?.headers["retry-after"]) > 0);
});
