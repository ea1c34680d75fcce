import assert from "node:assert/strict";
import { test } from "node:test";
import { TesseraError } from "./error.ts";
import { parseManifest } from "./manifest.ts";

const pod = `# a pod
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels:
    app.kubernetes.io/name: web
    app: web
spec:
  containers:
    - name: web
      imagePulPolicy: Always
    - { name: side, image: b }
---
# nothing here
---
{"apiVersion": "v1",
 "kind": "ConfigMap"}
`;

test("every document with content is given as plain JSON with its place", () => {
  const documents = parseManifest(pod);
  assert.deepEqual(
    documents.map(({ start, value }) => [start.line, (value as { kind: string }).kind]),
    [
      [2, "Pod"],
      [17, "ConfigMap"],
    ],
  );
  assert.deepEqual(documents[1]?.value, { apiVersion: "v1", kind: "ConfigMap" });
  assert.deepEqual(parseManifest(""), []);
  assert.deepEqual(parseManifest("---\n# only a comment\n---\n"), []);
});

test("a field's path leads to its line and column", () => {
  const [document, second] = parseManifest(pod);
  const table: [path: string, line: number, column: number][] = [
    ["", 2, 1],
    ["kind", 3, 1],
    ["metadata.labels[app.kubernetes.io/name]", 7, 5],
    ["metadata.labels[app]", 8, 5],
    ["spec.containers", 10, 3],
    ["spec.containers[0]", 11, 7],
    ["spec.containers[0].imagePulPolicy", 12, 7],
    ["spec.containers[1].image", 13, 21],
    // Missing fields: the innermost part that is there.
    ["spec.containers[0].image", 11, 7],
    ["spec.containers[7].image", 10, 3],
    ["spec.nodeName", 9, 1],
    ["status.phase", 2, 1],
    ["metadata.labels[x]", 6, 3],
  ];
  for (const [path, line, column] of table) {
    assert.deepEqual(document?.locate(path), { line, column }, path);
  }
  assert.deepEqual(second?.locate("kind"), { line: 18, column: 2 });
});

test("a path goes through anchors and through keys that hold dots", () => {
  const [document] = parseManifest("base: &base\n  a.b:\n    c: 1\nuse: *base\n");
  assert.deepEqual(document?.locate("use.a.b.c"), { line: 3, column: 5 });
  assert.deepEqual(document?.locate("base.a.b"), { line: 2, column: 3 });
});

test("values are read as kubectl reads them", () => {
  const table: [yaml: string, value: unknown][] = [
    ["0644", 420],
    ["0o644", 420],
    ["0x1f", 31],
    ["-017", -15],
    ["089", 89],
    ['"0644"', "0644"],
    ["yes", true],
    ["Off", false],
    ["'yes'", "yes"],
    ["y", "y"],
    ["22:22", "22:22"],
    ["2026-01-31", "2026-01-31"],
    ["1e3", 1000],
    ["~", null],
    ["", null],
    ["|\n  a\n  b\n", "a\nb\n"],
    ["[1, a, {b: c}]", [1, "a", { b: "c" }]],
  ];
  for (const [yaml, value] of table) {
    assert.deepEqual(parseManifest(`key: ${yaml}`)[0]?.value, { key: value }, yaml);
  }
  assert.deepEqual(parseManifest("on: 1\n0644: 2\n")[0]?.value, { on: 1, "0644": 2 });
  assert.deepEqual(parseManifest("base: &b {x: 1}\nuse:\n  <<: *b\n  y: 2\n")[0]?.value, { base: { x: 1 }, use: { x: 1, y: 2 } });
});

test("a key named __proto__ stays a key", () => {
  const value = parseManifest("__proto__: {admin: true}\n")[0]?.value as object;
  assert.deepEqual(Object.keys(value), ["__proto__"]);
  assert.equal((value as { admin?: boolean }).admin, undefined);
});

function faultsOf(text: string): string[] {
  try {
    parseManifest(text);
  } catch (error) {
    assert.ok(error instanceof TesseraError, String(error));
    assert.equal(error.reason, "BadRequest");
    return error.causes.map((cause) => cause.message ?? "");
  }
  return assert.fail("was accepted");
}

test("syntax errors say what is wrong and where, all of them", () => {
  assert.deepEqual(faultsOf("a: 1\nb: 2\na: 3\n"), ["duplicate key a (line 3, column 1)"]);
  assert.deepEqual(faultsOf('{"a": 1,\n "a": 2}'), ['duplicate key "a" (line 2, column 2)']);
  assert.deepEqual(faultsOf("a: 1\na: 2\n---\nb: 1\nb: 2\n"), ["duplicate key a (line 2, column 1)", "duplicate key b (line 5, column 1)"]);
  assert.match(faultsOf("a:\n\tb: 1\n")[0] ?? "", /^indent with spaces, not with tabs \(line 2/);
  assert.match(faultsOf("name: {{ .Values.name }}\n")[0] ?? "", /template that was not rendered\? \(line 1/);
  assert.match(faultsOf("a: [1\nb: 2\n")[0] ?? "", /\(line \d+, column \d+\)$/);
  assert.match(faultsOf("a: *missing\n")[0] ?? "", /missing \(line 1, column 1\)$/);
  assert.match(faultsOf("a: !ruby/object {}\n")[0] ?? "", /Unresolved tag.* \(line 1, column 4\)$/);
});

test("aliases that multiply are refused quickly", () => {
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
  for (let level = 1; level < 12; level++) {
    lines.push(
      `a${level}: &a${level} [${Array(10)
        .fill(`*a${level - 1}`)
        .join(", ")}]`,
    );
  }
  const started = performance.now();
  assert.match(faultsOf(lines.join("\n"))[0] ?? "", /aliases repeat its anchors more often than is allowed/);
  assert.ok(performance.now() - started < 2000);
});

test("nesting without end is refused", () => {
  assert.match(faultsOf("[".repeat(20_000))[0] ?? "", /nested too deeply/);
  assert.match(faultsOf(`${"[".repeat(20_000)}${"]".repeat(20_000)}`)[0] ?? "", /nested too deeply/);
});
