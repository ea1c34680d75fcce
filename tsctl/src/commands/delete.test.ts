import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeServer, listOrWatch, watchOf } from "../testing/fake-server.ts";
import { runTsctl } from "../testing/run.ts";

const pods = "/api/v1/namespaces/shop/pods";
const pod = (name: string, uid = "u1") => ({
  kind: "Pod",
  apiVersion: "v1",
  metadata: { name, namespace: "shop", uid, resourceVersion: "5" },
});
const list = (...items: object[]) => ({ kind: "PodList", metadata: { resourceVersion: "5" }, items });

describe("delete", () => {
  it("returns only when the object is gone", async () => {
    await using server = await FakeServer.start();
    let gone = false;
    server.on(`DELETE ${pods}/a`, { body: pod("a") });
    server.on(
      `GET ${pods}`,
      listOrWatch(list(pod("a")), (_request, response) => {
        response.write(`${JSON.stringify({ type: "MODIFIED", object: pod("a") })}\n`);
        setTimeout(() => {
          gone = true;
          response.end(`${JSON.stringify({ type: "DELETED", object: pod("a") })}\n`);
        }, 20);
      }),
    );
    const { code, stdout } = await runTsctl(["delete", "pod", "a"], { server });
    assert.deepEqual([code, stdout, gone], [0, 'pod "a" deleted\n', true]);
    assert.equal(server.asked("GET").at(-1)?.query.get("fieldSelector"), "metadata.name=a");
  });

  it("does not wait for a successor of the same name", async () => {
    await using server = await FakeServer.start();
    server.on(`DELETE ${pods}/a`, { body: pod("a", "old") }).on(`GET ${pods}`, { body: list(pod("a", "new")) });
    assert.equal((await runTsctl(["delete", "pod/a"], { server })).code, 0);
  });

  for (const [flags, grace] of [
    [[], undefined],
    [["--grace-period=7"], 7],
    [["--grace-period=-1"], undefined],
    [["--now"], 1],
    [["--force"], 0],
    [["--force", "--grace-period=0"], 0],
  ] as const) {
    it(`asks for a grace period of ${grace} with ${flags.join(" ") || "no flags"}`, async () => {
      await using server = await FakeServer.start();
      server.on(`DELETE ${pods}/a`, { body: pod("a") });
      const { stdout } = await runTsctl(["delete", "pod", "a", "--wait=false", ...flags], { server });
      assert.equal(JSON.parse(server.asked("DELETE")[0]?.body ?? "").gracePeriodSeconds, grace);
      assert.equal(stdout, grace === 0 ? 'pod "a" force deleted\n' : 'pod "a" deleted\n');
    });
  }

  it("says what is to become of dependents", async () => {
    for (const [flags, policy] of [
      [[], "Background"],
      [["--cascade=foreground"], "Foreground"],
      [["--cascade=orphan"], "Orphan"],
    ] as const) {
      await using server = await FakeServer.start();
      server.on(`DELETE ${pods}/a`, { body: pod("a") });
      await runTsctl(["delete", "pod", "a", "--wait=false", ...flags], { server });
      assert.equal(JSON.parse(server.asked("DELETE")[0]?.body ?? "").propagationPolicy, policy);
    }
  });

  it("deletes what a selector chooses", async () => {
    await using server = await FakeServer.start();
    server
      .on(`GET ${pods}`, { body: list(pod("a"), pod("b")) })
      .on(`DELETE ${pods}/a`, { body: pod("a") })
      .on(`DELETE ${pods}/b`, { body: pod("b") });
    const { stdout } = await runTsctl(["delete", "pods", "-l", "app=x", "--no-wait", "-o", "name"], { server });
    assert.equal(stdout, "pod/a\npod/b\n");
    assert.equal(server.asked("GET").at(-1)?.query.get("labelSelector"), "app=x");
  });

  it("deletes what a file made, the last object first", async () => {
    await using server = await FakeServer.start();
    server.on(`DELETE ${pods}/a`, { body: pod("a") }).on("DELETE /api/v1/nodes/n", { body: pod("n") });
    const input = "apiVersion: v1\nkind: Node\nmetadata: {name: n}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n";
    const { stdout } = await runTsctl(["delete", "-f", "-", "--wait=false"], { server, input });
    assert.equal(stdout, 'pod "a" deleted\nnode "n" deleted\n');
  });

  it("tells what is not there and deletes the others", async () => {
    await using server = await FakeServer.start();
    server.on(`DELETE ${pods}/b`, { body: pod("b") });
    const both = await runTsctl(["delete", "pod", "a", "b", "--wait=false"], { server });
    assert.deepEqual(both, { code: 1, stdout: 'pod "b" deleted\n', stderr: 'error: pods "a" not found\n' });
    const ignoring = await runTsctl(["delete", "pod", "a", "--ignore-not-found"], { server });
    assert.deepEqual([ignoring.code, ignoring.stderr], [0, ""]);
  });

  it("gives up after --timeout, and says what is still there", async () => {
    await using server = await FakeServer.start();
    server.on(`DELETE ${pods}/a`, { body: pod("a") });
    server.on(
      `GET ${pods}`,
      listOrWatch(list(pod("a")), (_request, response) => response.flushHeaders()),
    );
    const { code, stderr } = await runTsctl(["delete", "pod", "a", "--timeout=50ms"], { server });
    assert.equal(code, 1);
    assert.match(stderr, /pod\/a is still there after 0\.05 s; "tsctl describe pod a" may say why/);
  });

  it("looks again when the watch is too old", async () => {
    await using server = await FakeServer.start();
    const expired = watchOf({ type: "ERROR", object: { kind: "Status", reason: "Expired", message: "too old" } });
    let lists = 0;
    server.on(`DELETE ${pods}/a`, { body: pod("a") });
    server.on(`GET ${pods}`, async (request, response) => {
      if (request.query.get("watch") === "true") return typeof expired === "function" ? await expired(request, response) : undefined;
      response.end(JSON.stringify(lists++ === 0 ? list(pod("a")) : list()));
    });
    assert.equal((await runTsctl(["delete", "pod", "a"], { server })).code, 0);
    assert.equal(lists, 2);
  });
});
