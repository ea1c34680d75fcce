import assert from "node:assert/strict";
import test from "node:test";
import { parseChallenges } from "./challenge.ts";

const parsed: readonly [header: string, challenges: [string, Record<string, string>][]][] = [
  ['Basic realm="Registry"', [["basic", { realm: "Registry" }]]],
  [
    'Bearer realm="https://a.example/token",service="r.example",scope="repository:a/b:pull,push"',
    [["bearer", { realm: "https://a.example/token", service: "r.example", scope: "repository:a/b:pull,push" }]],
  ],
  ['BEARER Realm = "x" , Service=y', [["bearer", { realm: "x", service: "y" }]]],
  [
    'Negotiate, Basic realm="a", Bearer realm="b"',
    [
      ["negotiate", {}],
      ["basic", { realm: "a" }],
      ["bearer", { realm: "b" }],
    ],
  ],
  ['Basic realm="a \\"quoted\\" name"', [["basic", { realm: 'a "quoted" name' }]]],
  ["", []],
  ['="', []],
  ['Basic realm="open', [["basic", {}]]],
];

for (const [header, challenges] of parsed) {
  test(`challenges of ${header === "" ? "an empty header" : header}`, () => {
    const actual = parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
    assert.deepEqual(actual.slice(0, challenges.length), challenges);
    if (challenges.length === 0) assert.deepEqual(actual, []);
  });
}

test("a header made to be slow is parsed at once", () => {
  const before = performance.now();
  parseChallenges(`Bearer ${'a="\\\\'.repeat(20_000)}`);
  parseChallenges(`${", ".repeat(20_000)}`);
  assert.ok(performance.now() - before < 500);
});
