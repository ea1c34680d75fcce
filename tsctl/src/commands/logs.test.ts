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

  describe("-f", () => {
    const [one, two, three] = ["1", "2", "3"].map((second) => `2026-01-01T00:00:0${second}.000000000Z`);
    const running = (containerID: string) => ({
      body: { ...pod("a", "main"), status: { containerStatuses: [{ name: "main", containerID }] } },
    });

    it("goes on where it was when the connection is lost, as often as need be", async () => {
      await using server = await FakeServer.start();
      server.on(`GET ${pods}/a`, running("first"));
      server.on(
        `GET ${pods}/a/log`,
        (_request, response) => void response.write(`${one} one\n${two} tw`, () => response.destroy()),
        (_request, response) => void response.destroy(),
        (_request, response) => void response.end(`${two} two\n${three} three\n`),
      );
      const { code, stdout, stderr } = await runTsctl(["logs", "-f", "a", "--tail=5"], { server });
      assert.deepEqual([code, stdout], [0, "one\ntwo\nthree\n"]);
      assert.match(stderr, /the connection was lost in the middle of the log.*\n.*the log goes on/);
      const asked = server.requests
        .filter(({ path }) => path.endsWith("/log"))
        .map(({ query }) => [query.get("tailLines"), query.get("sinceTime")]);
      assert.deepEqual(asked, [
        ["5", null],
        [null, two],
        [null, two],
      ]);
    });

    it("ends with the run that it followed, though the container was restarted meanwhile", async () => {
      await using server = await FakeServer.start();
      server.on(`GET ${pods}/a`, running("first"), running("first"), running("second"));
      server.on(
        `GET ${pods}/a/log`,
        (_request, response) => void response.write(`${one} one\n`, () => response.destroy()),
        (request, response) => void response.end(request.query.get("previous") === "true" ? `${two} last words\n` : "another run\n"),
      );
      const { code, stdout } = await runTsctl(["logs", "-f", "a"], { server });
      assert.deepEqual([code, stdout], [0, "one\nlast words\n"]);
      assert.equal(server.requests.at(-1)?.query.get("follow"), null);
    });

    it("ends when the server says that there is nothing to go on with", async () => {
      await using server = await FakeServer.start();
      server.on(`GET ${pods}/a`, running("first"), running("first"), { status: 404, body: status("NotFound", 'pods "a" not found') });
      server.on(`GET ${pods}/a/log`, (_request, response) => void response.write(`${one} one\n`, () => response.destroy()));
      const { code, stdout, stderr } = await runTsctl(["logs", "-f", "a"], { server });
      assert.deepEqual([code, stdout], [1, "one\n"]);
      assert.match(stderr, /pods "a" not found/);
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

  it("shows one container of each pod that a selector chooses: the annotated one, the first, or the one of -c", async () => {
    await using server = await FakeServer.start();
    const annotated = {
      ...pod("a", "main", "side"),
      metadata: { name: "a", annotations: { "kubectl.kubernetes.io/default-container": "side" } },
    };
    server.on(`GET ${pods}`, { body: { items: [annotated, pod("b", "main", "side")] } });
    for (const name of ["a", "b"])
      server.on(`GET ${pods}/${name}/log`, (request, response) => void response.end(`${request.query.get("container")} of ${name}\n`));
    assert.equal((await runTsctl(["logs", "-l", "app=x"], { server })).stdout, "side of a\nmain of b\n");
    assert.equal((await runTsctl(["logs", "-l", "app=x", "-c", "main", "--tail=-1"], { server })).stdout, "main of a\nmain of b\n");
    assert.equal(server.requests.at(-1)?.query.get("tailLines"), null);
  });

  it("follows no more logs at once than allowed", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}`, { body: { items: [pod("a", "main"), pod("b", "main"), pod("c", "main")] } });
    for (const name of ["a", "b", "c"]) {
      server.on(`GET ${pods}/${name}`, { body: pod(name, "main") });
      server.on(`GET ${pods}/${name}/log`, { body: `2026-01-01T00:00:00.000000000Z of ${name}\n` });
    }
    const follow = ["logs", "-f", "-l", "app=x", "--all-containers"];
    const refused = await runTsctl(follow, { server });
    assert.deepEqual([refused.code, refused.stdout], [1, ""]);
    assert.match(refused.stderr, /attempting to follow 6 log streams, but maximum allowed concurrency is 5, use --max-log-requests/);
    assert.equal((await runTsctl([...follow, "--max-log-requests=6"], { server })).stdout.split("\n").length, 7);
    assert.match((await runTsctl([...follow, "--max-log-requests=0"], { server })).stderr, /must be greater than 0/);
  });

  it("goes on to the others with --ignore-errors, and only then", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}`, { body: { items: [pod("a", "main"), pod("b", "main")] } });
    server.on(`GET ${pods}/a/log`, { status: 400, body: status("BadRequest", "is waiting") }).on(`GET ${pods}/b/log`, { body: "b\n" });
    assert.deepEqual(await runTsctl(["logs", "-l", "app=x"], { server }), { code: 1, stdout: "", stderr: "error: is waiting\n" });
    const ignoring = await runTsctl(["logs", "-l", "app=x", "--ignore-errors"], { server });
    assert.deepEqual(ignoring, { code: 0, stdout: "b\n", stderr: "error: a/main: is waiting\n" });
  });

  it("says when the log broke off in the middle", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}/a/log`, (_request, response) => {
      response.write("half");
      setTimeout(() => response.destroy(), 10);
    });
    const { code, stdout, stderr } = await runTsctl(["logs", "a", "-c", "main"], { server });
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
