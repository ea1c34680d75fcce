import assert from "node:assert/strict";
import test from "node:test";
import {
  checkConfigKey,
  checkDnsLabel,
  checkDnsSubdomain,
  checkEnvName,
  checkLabelValue,
  checkPortName,
  checkQualifiedName,
} from "./names.ts";

const cases: { name: string; check: (text: string) => string | undefined; good: string[]; bad: string[] }[] = [
  {
    name: "DNS labels",
    check: checkDnsLabel,
    good: ["a", "a-b", "0", "x".repeat(63)],
    bad: ["", "A", "a.b", "-a", "a-", "x".repeat(64), "ä"],
  },
  { name: "DNS subdomains", check: checkDnsSubdomain, good: ["a.b-c.d", "x".repeat(253)], bad: ["", "a..b", ".a", "a_b", "x".repeat(254)] },
  {
    name: "qualified names",
    check: checkQualifiedName,
    good: ["app", "App.1_x", "example.com/app", "x".repeat(63)],
    bad: ["", "/app", "a/", "a/b/c", "Example.com/app", "-a", "x".repeat(64)],
  },
  { name: "label values", check: checkLabelValue, good: ["", "a", "A.b_c-1"], bad: ["-a", "a b", "x".repeat(64)] },
  {
    name: "config keys",
    check: checkConfigKey,
    good: ["a.b_C-1", ".hidden", "..."].slice(0, 2),
    bad: ["", ".", "..", "..a", "a/b", "a b"],
  },
  { name: "environment variables", check: checkEnvName, good: ["A_B", "a b", "-x.y/"], bad: ["", "A=B", "Ä", "a\n"] },
  { name: "port names", check: checkPortName, good: ["http", "p-1"], bad: ["", "80", "-a", "a--b", "HTTP", "x".repeat(16)] },
];

for (const { name, check, good, bad } of cases) {
  test(`${name} follow Kubernetes' syntax`, () => {
    for (const text of good) assert.equal(check(text), undefined, JSON.stringify(text));
    for (const text of bad) assert.equal(typeof check(text), "string", JSON.stringify(text));
  });
}
