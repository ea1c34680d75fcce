import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeServer } from "./testing/fake-server.ts";
import { runTsctl } from "./testing/run.ts";

describe("completion", () => {
  for (const [words, candidates] of [
    [["de"], ["describe", "delete", "dev"]],
    [
      ["dev", "d"],
      ["down", "doctor"],
    ],
    [
      ["get", "--wat"],
      ["--watch", "--watch-only"],
    ],
    [
      ["get", "pods", "-o", "j"],
      ["json", "jsonpath="],
    ],
    [
      ["get", "no"],
      ["node", "nodes"],
    ],
    [
      ["get", "po", ""],
      ["a", "b"],
    ],
    [["-n", "shop", "get", "pods", "-l", "x=y", "b"], ["b"]],
    [
      ["get", "pod/"],
      ["pod/a", "pod/b"],
    ],
    [
      ["logs", "-f", ""],
      ["a", "b"],
    ],
    [["exec", "-it", "a"], ["a"]],
    [
      ["top", "pod", ""],
      ["a", "b"],
    ],
    [["top", "node", ""], ["node-1"]],
    [["exec", "a", "--", ""], []],
    [["completion", "f"], ["fish"]],
    [["apply", "-f", ""], []],
  ] as const) {
    it(`of "${words.join(" ")}" is ${candidates.join(", ") || "nothing"}`, async () => {
      await using server = await FakeServer.start();
      server.on("GET /api/v1/namespaces/shop/pods", { body: { items: [{ metadata: { name: "a" } }, { metadata: { name: "b" } }] } });
      server.on("GET /api/v1/nodes", { body: { items: [{ metadata: { name: "node-1" } }] } });
      const { code, stdout } = await runTsctl(["__complete", "--", ...words], { server });
      assert.deepEqual([code, stdout.split("\n").filter(Boolean)], [0, candidates]);
    });
  }

  it("is silent when the cluster does not answer", async () => {
    const { code, stdout, stderr } = await runTsctl(["__complete", "--", "get", ""], { server: { url: "http://127.0.0.1:1" } });
    assert.deepEqual([code, stdout, stderr], [0, "", ""]);
  });
});
