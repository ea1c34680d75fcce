import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { Readable } from "node:stream";
import { after, before, beforeEach, test } from "node:test";
import type { OpenStream } from "@tessera/proto/node";
import { WebSocket } from "ws";
import { podNamed } from "./testing/objects.ts";
import { ScriptedNodes } from "./testing/scripted-node.ts";
import { startTestApi, type TestApi } from "./testing/test-api.ts";

const pods = "/api/v1/namespaces/default/pods";
const nodes = new ScriptedNodes();

let api: TestApi;
before(async () => {
  api = await startTestApi({ nodeStreams: nodes });
  const two = [
    { name: "web", image: "a" },
    { name: "side", image: "b" },
  ];
  await api.http.post(pods, podNamed("web", { nodeName: "node-1" }));
  await api.http.post(pods, podNamed("two", { nodeName: "node-1", containers: two }, { app: "many" }));
  await api.http.post(pods, podNamed("unbound"));
  // kubectl wants to attach to what runs only.
  await api.http.patch(`${pods}/web/status`, "merge", { status: { phase: "Running" } });
  await api.http.post("/api/v1/nodes", { metadata: { name: "node-1" } });
});
after(() => api[Symbol.asyncDispose]());

type Request = NonNullable<OpenStream["request"]>;

let asked: Request | undefined;
beforeEach(() => {
  asked = undefined;
});

function refusal(answer: { status: number; json: { reason?: string; message?: string } }) {
  return [answer.status, answer.json?.reason, answer.json?.message];
}

// Logs.

test("kubectl logs brings what the container wrote", async () => {
  nodes.script = async (request, agent, nodeName) => {
    asked = request;
    assert.equal(nodeName, "node-1");
    await agent.stdout("one\n");
    await agent.stdout("two\n");
    await agent.exit(0);
  };
  const { code, stdout } = await api.kubectl([
    "logs",
    "web",
    "--tail=5",
    "--timestamps",
    "--since-time=2026-01-01T00:00:00Z",
    "--previous",
  ]);
  assert.deepEqual([code, stdout], [0, "one\ntwo\n"]);
  assert.equal(asked?.$case, "log");
  const { podUid, ...options } = asked.value as Extract<Request, { $case: "log" }>["value"];
  assert.equal(podUid, (await api.http.get(`${pods}/web`)).json.metadata.uid);
  assert.deepEqual(options, {
    container: "web",
    follow: false,
    previous: true,
    timestamps: true,
    tailLines: 5n,
    limitBytes: undefined,
    only: undefined,
    sinceTime: "2026-01-01T00:00:00Z",
  });
});

test("kubectl logs of several containers and pods asks for each, as it is told", async () => {
  const requests: Extract<Request, { $case: "log" }>["value"][] = [];
  nodes.script = async (request, agent) => {
    if (request.$case !== "log") throw new Error(`${request.$case} was not asked for`);
    requests.push(request.value);
    await agent.stdout(`of ${request.value.container}\n`);
    await agent.exit(0);
  };
  const logs = async (...args: string[]) => {
    requests.length = 0;
    const { code, stdout, stderr } = await api.kubectl(["logs", ...args]);
    assert.equal(code, 0, stderr);
    // In what order it asks is kubectl's own affair.
    return stdout.trimEnd().split("\n").sort();
  };
  assert.deepEqual(await logs("two", "--all-containers"), ["of side", "of web"]);
  assert.deepEqual(await logs("two", "-c", "side", "--limit-bytes=7"), ["of side"]);
  assert.equal(requests[0]?.limitBytes, 7n);
  assert.deepEqual(await logs("-l", "app=many", "--all-containers", "--prefix", "--tail=-1"), [
    "[pod/two/side] of side",
    "[pod/two/web] of web",
  ]);
  assert.equal(requests[0]?.tailLines, undefined);
  assert.deepEqual(await logs("-l", "app=many", "-c", "web", "-f"), ["of web"]);
  assert.deepEqual([requests[0]?.follow, requests[0]?.tailLines], [true, 10n]);
  const before = Date.now();
  await logs("web", "--since=90s");
  const since = Date.parse(requests[0]?.sinceTime ?? "");
  assert.ok(since >= before - 91_000 && since <= Date.now() - 90_000, requests[0]?.sinceTime);
});

test("a followed log arrives line by line, and the node is told when nobody reads any more", async () => {
  const closed = Promise.withResolvers<void>();
  nodes.script = async (_request, agent) => {
    agent.closed.addEventListener("abort", () => closed.resolve());
    await agent.stdout("first\n");
    await closed.promise;
  };
  const response = await api.http.open("GET", `${pods}/web/log?follow=true`);
  const [line] = (await once(response, "data")) as [Buffer];
  assert.equal(line.toString(), "first\n");
  response.destroy();
  await closed.promise;
});

test("a log that the node refuses is an ordinary refusal", async () => {
  nodes.script = (_request, agent) => agent.fail("BadRequest", 'container "web" in pod "web" is waiting to start: ContainerCreating');
  const { code, stderr } = await api.kubectl(["logs", "web"]);
  assert.equal(code, 1);
  assert.match(stderr, /Error from server \(BadRequest\): container "web" in pod "web" is waiting to start: ContainerCreating/);
});

test("a log whose connection breaks does not look complete", async () => {
  nodes.script = async (_request, agent) => {
    await agent.stdout("half");
    agent.cut();
  };
  const { code, stderr } = await api.kubectl(["logs", "web"]);
  assert.notEqual(code, 0);
  assert.match(stderr, /EOF|reset|stream error/);
});

test("one of a container's streams can be asked for", async () => {
  const asked: (string | undefined)[] = [];
  nodes.script = async (request, agent) => {
    if (request.$case === "log") asked.push(request.value.only);
    await agent.exit(0);
  };
  for (const query of ["stream=Stderr", "stream=Stdout&limitBytes=7", "stream=All&tailLines=1", "stream="])
    assert.equal((await api.http.get(`${pods}/web/log?${query}`)).status, 200, query);
  assert.deepEqual(asked, ["stderr", "stdout", undefined, undefined]);
});

test("it must be clear which container is meant, and it must be somewhere", async () => {
  assert.match(
    String(refusal(await api.http.get(`${pods}/two/log`))),
    /400,BadRequest,a container name must be specified for pod two, choose one of: \[web side\]/,
  );
  assert.match(
    String(refusal(await api.http.get(`${pods}/two/log?container=x`))),
    /container x is not valid for pod two; it has \[web side\]/,
  );
  assert.match(String(refusal(await api.http.get(`${pods}/unbound/log`))), /pod unbound does not have a host assigned/);
  assert.equal((await api.http.get(`${pods}/nobody/log`)).status, 404);
  for (const query of [
    "tailLines=x",
    "tailLines=-2",
    "limitBytes=0",
    "sinceSeconds=0",
    "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
    "sinceTime=x",
    "stream=stdout",
    "stream=Stderr&tailLines=1",
  ]) {
    assert.ok([400, 422].includes((await api.http.get(`${pods}/web/log?${query}`)).status), query);
  }
});

// Exec.

/** kubectl exec, with its input and how it ended. */
async function exec(args: string[], input?: string) {
  return api.kubectl(["exec", ...(input === undefined ? [] : ["-i"]), "web", "--", ...args], input);
}

test("kubectl exec gets output, errors and the exit code apart", async () => {
  nodes.script = async (request, agent) => {
    asked = request;
    await agent.stdout("out\n");
    await agent.stderr("err\n");
    await agent.exit(3);
  };
  const { code, stdout, stderr } = await exec(["sh", "-c", "exit 3"]);
  assert.deepEqual([code, stdout], [3, "out\n"]);
  assert.match(stderr, /^err\n/);
  assert.equal(asked?.$case, "exec");
  const { podUid: _, ...value } = asked.value as Extract<Request, { $case: "exec" }>["value"];
  assert.deepEqual(value, { container: "web", command: ["sh", "-c", "exit 3"], stdin: false, stdout: true, stderr: true, tty: false });
});

test("success is exit 0", async () => {
  nodes.script = (_request, agent) => agent.exit(0);
  assert.equal((await exec(["true"])).code, 0);
});

test("stdin goes to the command, its end too", async () => {
  const input = "x".repeat(300_000);
  nodes.script = async (_request, agent) => {
    let size = 0;
    for await (const frame of agent.received) {
      if (frame.$case === "stdin") {
        assert.ok(frame.value.length <= 64 * 1024);
        size += frame.value.length;
      }
      if (frame.$case === "stdinClosed") break;
    }
    await agent.stdout(String(size));
    await agent.exit(0);
  };
  assert.deepEqual(await exec(["wc", "-c"], input), { code: 0, stdout: String(input.length), stderr: "" });
});

test("much output arrives whole", async () => {
  const piece = Buffer.alloc(64 * 1024, "y");
  nodes.script = async (_request, agent) => {
    for (let i = 0; i < 100; i++) await agent.stdout(piece);
    await agent.exit(0);
  };
  assert.equal((await exec(["yes"])).stdout.length, 100 * piece.length);
});

test("a connection that breaks is never exit 0", async () => {
  nodes.script = async (_request, agent) => {
    await agent.stdout("half");
    agent.cut();
  };
  const { code, stderr } = await exec(["work"]);
  assert.equal(code, 1);
  assert.match(stderr, /the connection to node node-1 was lost/);
});

test("a node that ends without an exit code is never exit 0", async () => {
  nodes.script = async () => {};
  const { code, stderr } = await exec(["work"]);
  assert.equal(code, 1);
  assert.match(stderr, /without an exit code/);
});

test("what the node refuses is what the user reads", async () => {
  nodes.script = (_request, agent) => agent.fail("NotFound", "container web is not running");
  const { code, stderr } = await exec(["true"]);
  assert.notEqual(code, 0);
  assert.match(stderr, /container web is not running/);
});

test("the node hears of it when kubectl goes away", async () => {
  const closed = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  nodes.script = async (_request, agent) => {
    agent.closed.addEventListener("abort", () => closed.resolve());
    started.resolve();
    await closed.promise;
  };
  const child = spawn("kubectl", ["exec", "web", "--", "sleep", "1000"], {
    env: { ...process.env, KUBECONFIG: api.kubeconfig },
    stdio: "ignore",
  });
  await started.promise;
  child.kill("SIGKILL");
  await closed.promise;
});

test("sizes of the terminal reach the node", async () => {
  const sizes: unknown[] = [];
  nodes.script = async (request, agent) => {
    asked = request;
    for await (const frame of agent.received) {
      if (frame.$case === "resize") sizes.push(frame.value);
      if (sizes.length === 2) break;
    }
    await agent.exit(0);
  };
  const socket = await dial("exec?command=sh&stdin=true&stdout=true&stderr=true&tty=true", "v4.channel.k8s.io");
  socket.send(channel(4, '{"Width":80,"Height":24}'));
  socket.send(channel(4, "nonsense"));
  socket.send(channel(4, '{"Width":100,"Height":50}'));
  const messages = await messagesOf(socket);
  assert.deepEqual(sizes, [
    { columns: 80, rows: 24 },
    { columns: 100, rows: 50 },
  ]);
  assert.equal(asked?.$case === "exec" && asked.value.stderr, false);
  assert.deepEqual(messages, ["1:", '3:{"metadata":{},"status":"Success"}', "closed 1000"]);
});

test("SPDY and unknown subprotocols are refused in words", async () => {
  const spdy = await api.http.send("POST", `${pods}/web/exec?command=a&stdout=true`, {
    headers: { connection: "Upgrade", upgrade: "SPDY/3.1" },
  });
  assert.deepEqual(refusal(spdy), [400, "BadRequest", "only WebSocket streams are supported, not SPDY/3.1; use kubectl 1.31 or later"]);
  const plain = await api.http.get(`${pods}/web/exec?command=a&stdout=true`);
  assert.deepEqual(refusal(plain), [400, "BadRequest", "Upgrade request required"]);
  await assert.rejects(dial("exec?command=a&stdout=true", "chat"), /400/);
  await assert.rejects(dial("exec?command=a&stdout=true", "v5.channel.k8s.io", {}), /401/);
});

test("exec needs a command and a stream", async () => {
  await assert.rejects(dial("exec?stdout=true", "v5.channel.k8s.io"), /400/);
  await assert.rejects(dial("exec?command=a", "v5.channel.k8s.io"), /400/);
});

test("kubectl attach reaches the container's own process", async () => {
  nodes.script = async (request, agent) => {
    asked = request;
    await agent.stdout("hello\n");
    await agent.exit(0);
  };
  const { code, stdout } = await api.kubectl(["attach", "web"]);
  assert.deepEqual([code, stdout, asked?.$case], [0, "hello\n", "attach"]);
});

// Images.

test("an archive streams through to the node, which names the images", async () => {
  const archive = Buffer.alloc(5_000_000, "tar");
  nodes.script = async (request, agent) => {
    asked = request;
    let size = 0;
    for await (const frame of agent.received) {
      if (frame.$case === "stdin") size += frame.value.length;
      if (frame.$case === "stdinClosed") break;
    }
    await agent.stdout('{"image":"a:1"}\n{"im');
    await agent.stdout(`age":"size:${size}"}\n`);
    await agent.exit(0);
  };
  const answer = await api.http.send("POST", "/api/v1/nodes/node-1/images", {
    body: Readable.from([archive]),
    headers: { "content-type": "application/x-tar" },
  });
  assert.deepEqual([answer.status, answer.json], [201, { images: ["a:1", "size:5000000"] }]);
  assert.equal(asked?.$case, "imageLoad");
});

test("a node's refusal of an archive is the answer, even before all was sent", async () => {
  nodes.script = async (_request, agent) => {
    for await (const _ of agent.received) break;
    await agent.fail("BadRequest", "not an image archive: no manifest.json");
  };
  const body = Readable.from(
    (function* () {
      for (let i = 0; i < 50; i++) yield Buffer.alloc(64 * 1024);
    })(),
  );
  const answer = await api.http.send("POST", "/api/v1/nodes/node-1/images", { body, headers: { "content-type": "application/x-tar" } });
  assert.deepEqual(refusal(answer), [400, "BadRequest", "not an image archive: no manifest.json"]);
});

test("after such a refusal the connection serves the next request", async () => {
  nodes.script = async (_request, agent) => {
    for await (const _ of agent.received) break;
    await agent.fail("BadRequest", "not an image archive: no manifest.json");
  };
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: api.pki.authority.pair.certPem });
  const [cert, key] = await Promise.all([readFile(`${api.pki.dir}/admin.crt`), readFile(`${api.pki.dir}/admin.key`)]);
  const ask = (method: string, path: string) => request(`${api.url}${path}`, { method, agent, cert, key, timeout: 30_000 });
  try {
    const upload = ask("POST", "/api/v1/nodes/node-1/images").setHeader("content-type", "application/x-tar");
    upload.end(Buffer.alloc(8 * 1024 * 1024));
    const [refused] = (await once(upload, "response")) as [IncomingMessage];
    assert.equal(refused.resume().statusCode, 400);
    const next = ask("GET", "/version").end();
    next.once("timeout", () => next.destroy(new Error("the connection is stuck")));
    const [answer] = (await once(next, "response")) as [IncomingMessage];
    assert.equal(answer.resume().statusCode, 200);
    assert.equal(next.socket, upload.socket);
  } finally {
    agent.destroy();
  }
});

test("images are loaded to nodes that exist, as archives", async () => {
  assert.equal(
    (await api.http.send("POST", "/api/v1/nodes/none/images", { body: "x", headers: { "content-type": "application/x-tar" } })).status,
    404,
  );
  assert.equal(
    (await api.http.send("POST", "/api/v1/nodes/node-1/images", { body: "x", headers: { "content-type": "text/html" } })).status,
    415,
  );
});

test("a node's images are listed as it reported them", async () => {
  const images = [{ names: ["a:1"], sizeBytes: 5 }];
  await api.http.patch("/api/v1/nodes/node-1/status", "merge", { status: { images } });
  assert.deepEqual((await api.http.get("/api/v1/nodes/node-1/images")).json, { images });
});

/** A WebSocket to the pod; rejects with the answer's status when the upgrade is refused. */
async function dial(path: string, protocol: string, credentials?: object): Promise<WebSocket> {
  const [cert, key] = await Promise.all([readFile(`${api.pki.dir}/admin.crt`), readFile(`${api.pki.dir}/admin.key`)]);
  const url = `${api.url.replace("https", "wss")}${pods}/web/${path}`;
  const socket = new WebSocket(url, [protocol], { ca: api.pki.authority.pair.certPem, ...(credentials ?? { cert, key }) });
  await once(socket, "open");
  return socket;
}

function channel(number: number, text: string): Buffer {
  return Buffer.concat([Buffer.from([number]), Buffer.from(text)]);
}

/** All messages until the end, as "CHANNEL:text", and the closing code. */
function messagesOf(socket: WebSocket): Promise<string[]> {
  const messages: string[] = [];
  socket.on("message", (data: Buffer) => messages.push(`${data[0]}:${data.subarray(1).toString()}`));
  return new Promise((resolve) => socket.once("close", (code) => resolve([...messages, `closed ${code}`])));
}
