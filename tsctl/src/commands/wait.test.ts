import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeServer, listOrWatch, watchOf } from "../testing/fake-server.ts";
import { runTsctl } from "../testing/run.ts";
import { parseGoal } from "./wait.ts";

const pods = "/api/v1/namespaces/shop/pods";
const pod = (ready: string, phase = "Running") => ({
  metadata: { name: "a", namespace: "shop", uid: "u", resourceVersion: "5" },
  status: { phase, conditions: [{ type: "Ready", status: ready }] },
});
const list = (...items: object[]) => ({ metadata: { resourceVersion: "5" }, items });

describe("what wait waits for", () => {
  for (const [goal, object, reached] of [
    ["condition=Ready", pod("True"), true],
    ["condition=ready", pod("True"), true],
    ["condition=Ready", pod("False"), false],
    ["condition=Ready=False", pod("False"), true],
    ["condition=Ready", {}, false],
    ["jsonpath={.status.phase}=Running", pod("True"), true],
    ["jsonpath={.status.phase}='Running'", pod("True"), true],
    ["jsonpath=.status.phase=Running", pod("True"), true],
    ["jsonpath={.status.phase}=Failed", pod("True"), false],
    ["jsonpath={.status.phase}", pod("True"), true],
    ["jsonpath={.status.nope}", pod("True"), false],
    ['jsonpath={.status.conditions[?(@.type=="Ready")].status}=True', pod("True"), true],
    ["delete", undefined, true],
    ["delete", pod("True"), false],
    ["create", pod("True"), true],
  ] as const) {
    it(`--for=${goal} is ${reached ? "reached" : "not reached"} by ${JSON.stringify(object)?.slice(0, 90)}`, () =>
      assert.equal(parseGoal(goal).isReached(object), reached));
  }
});

describe("wait", () => {
  it("returns when a watch brings the goal", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}`, listOrWatch(list(pod("False")), watchOf({ type: "MODIFIED", object: pod("True") })));
    const { code, stdout } = await runTsctl(["wait", "pod/a", "--for=condition=Ready"], { server });
    assert.deepEqual([code, stdout], [0, "pod/a condition met\n"]);
  });

  it("says what it waited for in vain, and where to look", async () => {
    await using server = await FakeServer.start();
    server.on(
      `GET ${pods}`,
      listOrWatch(list(pod("False")), (_request, response) => response.flushHeaders()),
    );
    const { code, stderr } = await runTsctl(["wait", "pod", "a", "--for=condition=Ready", "--timeout=0"], { server });
    assert.equal(code, 1);
    assert.match(stderr, /error: waited 0 s in vain for condition Ready of pod\/a; "tsctl describe pod a" may say why/);
  });

  it("ends without a word at Ctrl-C", async () => {
    await using server = await FakeServer.start();
    const interrupted = new AbortController();
    server.on(
      `GET ${pods}`,
      listOrWatch(list(pod("False")), (_request, response) => {
        response.flushHeaders();
        interrupted.abort();
      }),
    );
    const ran = await runTsctl(["wait", "pod/a", "--for=condition=Ready"], { server, signal: interrupted.signal });
    assert.deepEqual(ran, { code: 130, stdout: "", stderr: "" });
  });

  it("fails at once for what is not there, or goes away", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}`, { body: list() });
    assert.deepEqual(await runTsctl(["wait", "pod/a", "--for=condition=Ready"], { server }), {
      code: 1,
      stdout: "",
      stderr: 'error: pods "a" not found\n',
    });
    server.on(`GET ${pods}`, listOrWatch(list(pod("False")), watchOf({ type: "DELETED", object: pod("False") })));
    assert.match((await runTsctl(["wait", "pod/a", "--for=condition=Ready"], { server })).stderr, /pods "a" was deleted/);
  });

  it("for deletion of what is not there has nothing to wait for", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}`, { body: list() });
    assert.deepEqual(await runTsctl(["wait", "pod/a", "--for=delete"], { server }), { code: 0, stdout: "pod/a deleted\n", stderr: "" });
    assert.equal((await runTsctl(["wait", "pods", "--all", "--for=delete"], { server })).code, 0);
  });

  it("for a condition of what a selector does not find is an error", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}`, { body: list() });
    const { code, stderr } = await runTsctl(["wait", "pods", "-l", "app=x", "--for=condition=Ready"], { server });
    assert.equal(code, 1);
    assert.match(stderr, /no object matches/);
  });

  it("carries on when the connection is cut", async () => {
    await using server = await FakeServer.start();
    let watches = 0;
    server.on(`GET ${pods}`, (request, response) => {
      if (request.query.get("watch") !== "true") return void response.end(JSON.stringify(list(pod("False"))));
      response.writeHead(200);
      if (watches++ > 0) return void response.end(`${JSON.stringify({ type: "MODIFIED", object: pod("True") })}\n`);
      response.write(`{"type":`);
      setTimeout(() => response.destroy(), 5);
    });
    const { code } = await runTsctl(["wait", "pod/a", "--for=condition=Ready", "--timeout=10s"], { server });
    assert.deepEqual([code, watches], [0, 2]);
  });
});
