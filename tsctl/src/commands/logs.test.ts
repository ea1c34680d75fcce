import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeServer, status } from "../testing/fake-server.ts";
import { runTsctl } from "../testing/run.ts";

const pods = "/api/v1/namespaces/shop/pods";
const pod = (name: string, ...containers: string[]) => ({
  metadata: { name },
  spec: { initContainers: [{ name: "prepare" }], containers: containers.map((container) => ({ name: container })) },
});

describe("logs", () => {
  it("shows the bytes of the only container as they are", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}/a`, { body: pod("a", "main") }).on(`GET ${pods}/a/log`, { body: "one\ntwo" });
    assert.deepEqual(await runTsctl(["logs", "a"], { server }), { code: 0, stdout: "one\ntwo", stderr: "" });
    assert.equal(server.requests.at(-1)?.query.get("container"), "main");
  });

  it("passes on what is asked for", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}/a/log`, { body: "x\n" });
    const flags = ["-c", "main", "--tail=3", "--since=90s", "--timestamps", "--limit-bytes=10", "-f"];
    await runTsctl(["logs", "pod/a", ...flags], { server });
    assert.deepEqual(Object.fromEntries(server.requests[0]?.query ?? []), {
      container: "main",
      follow: "true",
      timestamps: "true",
      tailLines: "3",
      sinceSeconds: "90",
      limitBytes: "10",
    });
    await runTsctl(["logs", "a", "main", "-p", "--since-time=2026-01-01T00:00:00Z"], { server });
    assert.deepEqual(Object.fromEntries(server.requests.at(-1)?.query ?? []), {
      container: "main",
      previous: "true",
      sinceTime: "2026-01-01T00:00:00Z",
    });
  });

  it("says which of several containers it shows", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}/a`, { body: pod("a", "main", "side") }).on(`GET ${pods}/a/log`, { body: "x\n" });
    const { stdout, stderr } = await runTsctl(["logs", "a"], { server });
    assert.deepEqual([stdout, stderr], ["x\n", "Of the containers main, side this is main; -c chooses another one\n"]);
  });

  it("shows all containers of all pods that a selector chooses, with prefixes when asked", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}`, { body: { items: [pod("a", "main"), pod("b", "main")] } });
    server.on(`GET ${pods}/a/log`, (request, response) => void response.end(`${request.query.get("container")} of a\n`));
    server.on(`GET ${pods}/b/log`, { body: "b\n" });
    const { stdout } = await runTsctl(["logs", "-l", "app=x", "--all-containers", "--prefix"], { server });
    assert.equal(stdout, "[pod/a/prepare] prepare of a\n[pod/a/main] main of a\n[pod/b/prepare] b\n[pod/b/main] b\n");
    assert.equal(server.requests.at(-1)?.query.get("tailLines"), "10");
  });

  it("says when the log broke off in the middle", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}/a/log`, (_request, response) => {
      response.write("half");
      setTimeout(() => response.destroy(), 10);
    });
    const { code, stdout, stderr } = await runTsctl(["logs", "a", "-c", "main", "-f"], { server });
    assert.deepEqual([code, stdout], [1, "half"]);
    assert.match(stderr, /the connection was lost in the middle of the log/);
  });

  it("tells the server's refusal", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}/a/log`, {
      status: 400,
      body: status("BadRequest", 'container "x" in pod "a" is waiting to start: ImagePullBackOff'),
    });
    const { code, stderr } = await runTsctl(["logs", "a", "-c", "x"], { server });
    assert.deepEqual([code, stderr], [1, 'error: container "x" in pod "a" is waiting to start: ImagePullBackOff\n']);
  });
});
