import assert from "node:assert/strict";
import test from "node:test";
import { formatReference, parseReference } from "./reference.ts";

const digest = `sha256:${"ab".repeat(32)}`;

const spelt: readonly [given: string, canonical: string][] = [
  ["busybox", "docker.io/library/busybox:latest"],
  ["busybox:1.36", "docker.io/library/busybox:1.36"],
  ["library/busybox", "docker.io/library/busybox:latest"],
  ["me/app:v1", "docker.io/me/app:v1"],
  ["localhost/app", "localhost/app:latest"],
  ["localhost:5000/app", "localhost:5000/app:latest"],
  ["registry.example/a/b/c:x", "registry.example/a/b/c:x"],
  [`busybox@${digest}`, `docker.io/library/busybox@${digest}`],
  [`busybox:1@${digest}`, `docker.io/library/busybox:1@${digest}`],
];

for (const [given, canonical] of spelt) {
  test(`${given} means ${canonical}`, () => assert.equal(formatReference(parseReference(given)), canonical));
}

for (const bad of [
  "",
  "Upper",
  "a b",
  "a:b:c",
  "a@b",
  "a//b",
  "/a",
  "a/",
  "../etc",
  "a:",
  `${"a".repeat(600)}`,
  "host:port/x",
  "a@sha256:12",
]) {
  test(`"${bad.slice(0, 20)}" is refused as an image name`, () => {
    assert.throws(
      () => parseReference(bad),
      (error: { reason?: string; message?: string }) => error.reason === "Invalid" && /couldn't parse image name/.test(error.message ?? ""),
    );
  });
}
