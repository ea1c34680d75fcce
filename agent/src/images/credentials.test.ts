import assert from "node:assert/strict";
import test from "node:test";
import type { Secret } from "@tessera/proto";
import { credentialsFor, parsePullSecret } from "./credentials.ts";
import { parseReference } from "./reference.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");

function secret(auths: Record<string, unknown>, kind: "json" | "cfg" = "json"): Secret {
  const metadata = { namespace: "team", name: "pull" };
  if (kind === "cfg") return { metadata, type: "kubernetes.io/dockercfg", data: { ".dockercfg": base64(JSON.stringify(auths)) } };
  return { metadata, type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": base64(JSON.stringify({ auths })) } };
}

const login = (username: string) => ({ username, password: "p" });

for (const kind of ["json", "cfg"] as const) {
  test(`a Secret's logins are read from docker${kind === "json" ? "config" : ""}${kind}`, () => {
    const auths = {
      "one.example": { auth: base64("me:pass:word") },
      "two.example:5000/team/": { username: "you", password: "secret", email: "y@e" },
      "https://index.docker.io/v1/": { auth: base64("hub:x\0") },
      "three.example": { identitytoken: "refresh" },
      "helper.example": {},
    };
    assert.deepEqual(parsePullSecret(secret(auths, kind)), [
      { scope: "one.example", username: "me", password: "pass:word" },
      { scope: "two.example:5000/team", username: "you", password: "secret" },
      { scope: "docker.io", username: "hub", password: "x" },
      { scope: "three.example", username: "", password: "", identityToken: "refresh" },
    ]);
  });
}

const matches: readonly [key: string, image: string, does: boolean][] = [
  ["registry.example", "registry.example/a/b:1", true],
  ["https://registry.example", "registry.example/a", true],
  ["https://registry.example/v2/", "registry.example/a", true],
  ["http://registry.example/v1/team", "registry.example/team/a", true],
  ["Registry.Example", "registry.example/a", true],
  ["registry.example", "registry.example:5000/a", false],
  ["registry.example:5000", "registry.example:5000/a", true],
  ["registry.example:5000", "registry.example/a", false],
  ["registry.example/team", "registry.example/team/app", true],
  ["registry.example/team", "registry.example/team", true],
  ["registry.example/team", "registry.example/team2/app", false],
  ["registry.example/team/app", "registry.example/team", false],
  ["*.example", "registry.example/a", true],
  ["*.example", "a.registry.example/a", false],
  ["r*y.ex*", "registry.example/a", true],
  ["r*x.example", "registry.example/a", false],
  ["*.example:5000", "registry.example:5000/a", true],
  ["example", "registry.example/a", false],
  ["https://index.docker.io/v1/", "busybox", true],
  ["docker.io", "busybox", true],
  ["registry-1.docker.io", "me/app", true],
  ["docker.io/library", "me/app", false],
  ["docker.io/library", "busybox", true],
];

for (const [key, image, does] of matches) {
  test(`a login for ${key} is ${does ? "" : "not "}used for ${image}`, () => {
    const found = credentialsFor(parsePullSecret(secret({ [key]: login("me") })), parseReference(image));
    assert.equal(found.length, does ? 1 : 0);
  });
}

test("the longest match comes first, and of equals the first", () => {
  const all = [
    ...parsePullSecret(secret({ "r.example": login("host"), "r.example/team/app": login("app"), "r.example/team": login("team") })),
    ...parsePullSecret(secret({ "r.example": login("second") })),
  ];
  const order = credentialsFor(all, parseReference("r.example/team/app:1")).map(({ username }) => username);
  assert.deepEqual(order, ["app", "team", "host", "second"]);
});

const broken: readonly [says: string, secret: Secret, message: RegExp][] = [
  [
    "no registry login at all",
    { metadata: { namespace: "n", name: "s" }, data: { password: base64("hunter2") } },
    /secret "n\/s" holds no registry/,
  ],
  ["text that is not JSON", { data: { ".dockerconfigjson": base64("{hunter2") } }, /not JSON/],
  ["auths that are a list", { data: { ".dockerconfigjson": base64('{"auths":["hunter2"]}') } }, /of another form/],
  ["an auth without a colon", secret({ "r.example": { auth: base64("hunter2") } }), /"username:password"/],
  ["a password that is a number", secret({ "r.example": { username: "u", password: 12 } }), /no text/],
];

for (const [says, given, message] of broken) {
  test(`a Secret with ${says} is refused without showing it`, () => {
    assert.throws(
      () => parsePullSecret(given),
      (error: { reason?: string; message: string; cause?: unknown }) => {
        assert.equal(error.reason, "Invalid");
        assert.match(error.message, message);
        assert.doesNotMatch(`${error.message} ${error.cause}`, /hunter2/);
        return true;
      },
    );
  });
}
