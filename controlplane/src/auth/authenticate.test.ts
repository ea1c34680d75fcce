import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { TesseraError } from "@tessera/proto";
import { authenticate } from "./authenticate.ts";
import { authorize } from "./authorize.ts";
import { TokenTable } from "./tokens.ts";

const noAccounts = { check: () => undefined };
const token = "a-token-of-enough-characters";

async function tokensFile(t: TestContext, content?: unknown): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "tessera-tokens-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const path = join(dir, "tokens.json");
  if (content !== undefined) await writeFile(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

test("a client certificate names the user and the groups", async (t) => {
  const tokens = await TokenTable.open(await tokensFile(t));
  const certificate = { commonName: "ann", organizations: ["dev"] };
  assert.deepEqual(authenticate({ certificate }, tokens, noAccounts), { name: "ann", groups: ["dev", "system:authenticated"] });
});

test("a bearer token names them too, and a wrong one nobody", async (t) => {
  const tokens = await TokenTable.open(await tokensFile(t, { tokens: [{ token, name: "bob", groups: ["dev"] }] }));
  assert.deepEqual(authenticate({ authorization: `Bearer ${token}` }, tokens, noAccounts), {
    name: "bob",
    groups: ["dev", "system:authenticated"],
  });
  for (const authorization of [undefined, "", "Bearer", "Bearer ", `Bearer ${token}x`, `Basic ${token}`, token]) {
    assert.throws(
      () => authenticate({ authorization }, tokens, noAccounts),
      (error) => error instanceof TesseraError && error.reason === "Unauthorized",
      String(authorization),
    );
  }
});

test("the first start makes a token for an administrator that the next start knows", async (t) => {
  const path = await tokensFile(t);
  await TokenTable.open(path);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const [entry] = (JSON.parse(await readFile(path, "utf8")) as { tokens: { token: string }[] }).tokens;
  assert.deepEqual((await TokenTable.open(path)).find(entry?.token ?? ""), { name: "admin", groups: ["system:masters"] });
});

for (const [content, text] of [
  ["{", /not JSON/],
  [{}, /expected \{ "tokens"/],
  [{ tokens: [{ token: "short", name: "a" }] }, /tokens\[0\]\.token: expected a string of at least 16/],
  [{ tokens: [{ token, name: "" }] }, /tokens\[0\]\.name/],
  [{ tokens: [{ token, name: "a", groups: [1] }] }, /tokens\[0\]\.groups/],
] as const) {
  test(`a token file ${JSON.stringify(content)} is refused with the place`, async (t) => {
    await assert.rejects(TokenTable.open(await tokensFile(t, content)), text);
  });
}

test("nodes have nothing to do here", () => {
  const attributes = { verb: "get", path: "/api/v1/pods", group: "", resource: "pods", namespace: "", name: "" };
  assert.equal(authorize({ name: "system:node:a", groups: ["system:nodes"] }, attributes).allowed, false);
  assert.equal(authorize({ name: "ann", groups: ["system:authenticated"] }, attributes).allowed, true);
});
