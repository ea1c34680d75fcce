import assert from "node:assert/strict";
import { createHmac, createPublicKey, createVerify, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { signJwt, toJwks, toSigningKey, verifyJwt } from "./jwt.ts";

const newKey = () => toSigningKey(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

test("a token says what was signed, and others can check it with the published key", () => {
  const key = newKey();
  const token = signJwt({ sub: "a", aud: ["b"] }, key);
  assert.deepEqual(verifyJwt(token, key), { sub: "a", aud: ["b"] });
  const [header = "", payload = "", signature = ""] = token.split(".");
  const { keys } = toJwks(key) as { keys: { kid: string; alg: string }[] };
  const jwk = keys.find(({ kid }) => kid === JSON.parse(Buffer.from(header, "base64url").toString()).kid);
  assert.equal(jwk?.alg, "ES256");
  const publicKey = createPublicKey({ key: jwk as never, format: "jwk" });
  const verifier = createVerify("sha256").update(`${header}.${payload}`);
  assert.ok(verifier.verify({ key: publicKey, dsaEncoding: "ieee-p1363" }, Buffer.from(signature, "base64url")));
});

test("whatever else is no token", () => {
  const key = newKey();
  const other = newKey();
  const [header = "", payload = "", signature = ""] = signJwt({ sub: "a" }, key).split(".");
  const forged = encode({ sub: "admin" });
  const none = encode({ alg: "none", kid: key.id });
  const symmetric = `${encode({ alg: "HS256", kid: key.id })}.${forged}`;
  const secret = key.publicKey.export({ type: "spki", format: "pem" });
  const wrong: readonly [string, string][] = [
    ["nothing", ""],
    ["no token", "abc"],
    ["other claims", `${header}.${forged}.${signature}`],
    ["no signature", `${header}.${payload}.`],
    ["no algorithm", `${none}.${forged}.`],
    ["the public key as a secret", `${symmetric}.${createHmac("sha256", secret).update(symmetric).digest("base64url")}`],
    ["another key", signJwt({ sub: "a" }, other)],
    ["another key by our name", signJwt({ sub: "a" }, { ...other, id: key.id })],
    ["a header that must be understood", signedWith({ alg: "ES256", kid: key.id, crit: ["x"] })],
    ["four parts", `${header}.${payload}.${signature}.x`],
    ["claims that are no object", signJwt([] as never, key)],
  ];
  for (const [what, token] of wrong) assert.equal(verifyJwt(token, key), undefined, what);

  function signedWith(head: object): string {
    const [, claims = "", own = ""] = signJwt({ sub: "a" }, key).split(".");
    return `${encode(head)}.${claims}.${own}`;
  }
});
