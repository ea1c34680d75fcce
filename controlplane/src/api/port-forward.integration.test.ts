import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { podNamed } from "./testing/objects.ts";
import { type AgentSide, ScriptedNodes } from "./testing/scripted-node.ts";
import { startTestApi, type TestApi } from "./testing/test-api.ts";

const pods = "/api/v1/namespaces/default/pods";
const nodes = new ScriptedNodes();

let api: TestApi;
before(async () => {
  api = await startTestApi({ nodeStreams: nodes });
  await api.http.post(pods, podNamed("web", { nodeName: "node-1" }));
  await api.http.post(pods, podNamed("unbound"));
  await api.http.patch(`${pods}/web/status`, "merge", { status: { phase: "Running" } });
});
after(() => api[Symbol.asyncDispose]());

/** What the pods' programs do, by port. */
const programs: { readonly [port: number]: (agent: AgentSide) => Promise<void> } = {
  /** Sends back what it gets. */
  7: async (agent) => {
    for await (const frame of agent.received) {
      if (frame.$case === "stdin") await agent.stdout(Buffer.from(frame.value));
      if (frame.$case === "stdinClosed") break;
    }
    await agent.endOutput();
    await agent.exit(0);
  },
  /** Answers after all has come: the client's side ends first. */
  80: async (agent) => {
    let received = "";
    for await (const frame of agent.received) {
      if (frame.$case === "stdin") received += Buffer.from(frame.value).toString();
      if (frame.$case === "stdinClosed") break;
    }
    await agent.stdout(`heard ${received}`);
    await agent.endOutput();
    await agent.exit(0);
  },
  81: async (agent) => agent.fail("ServiceUnavailable", "connect to port: localhost:81: connection refused"),
  /** Reads nothing. */
  82: async (agent) => {
    stuckBegan.resolve();
    await new Promise<void>((resolve) => agent.closed.addEventListener("abort", () => resolve()));
    stuckEnded.resolve();
  },
};
const stuckBegan = Promise.withResolvers<void>();
const stuckEnded = Promise.withResolvers<void>();

nodes.script = async (request, agent, nodeName) => {
  assert.equal(nodeName, "node-1");
  assert.equal(request.$case, "portForward");
  if (request.$case === "portForward") await programs[request.value.port]?.(agent);
};

/** It has said more, or has ended. */
async function said(child: ChildProcess): Promise<void> {
  const looked = new AbortController();
  const { signal } = looked;
  const any = [child.stdout, child.stderr].map((stream) => once(stream ?? child, "data", { signal }));
  await Promise.race([...any, once(child, "exit", { signal })]);
  looked.abort();
}

/** A kubectl port-forward of the pod "web", until the end of the scope. */
async function forwarding(...ports: number[]) {
  const child = spawn("kubectl", ["port-forward", "pod/web", ...ports.map((port) => `:${port}`)], {
    env: { ...process.env, KUBECONFIG: api.kubeconfig },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = { text: "" };
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output.text += data));
  const local = (port: number) => Number(new RegExp(`127.0.0.1:(\\d+) -> ${port}\\n`).exec(output.text)?.[1]);
  while (!ports.every((port) => local(port) > 0)) {
    await said(child);
    assert.equal(child.exitCode, null, output.text);
  }
  return {
    child: child as ChildProcess,
    output,
    dial: (port: number) => connect({ port: local(port), host: "127.0.0.1", allowHalfOpen: true }),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
  };
}

async function allOf(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of socket) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

test("kubectl port-forward carries a connection both ways, each direction with an end of its own", async () => {
  await using tunnel = await forwarding(80);
  const socket = tunnel.dial(80);
  socket.end("hello");
  assert.equal((await allOf(socket)).toString(), "heard hello");
});

test("many connections at once, and much data, arrive whole", async () => {
  await using tunnel = await forwarding(7);
  const hash = (data: Buffer) => createHash("sha256").update(data).digest("hex");
  await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      const sent = randomBytes(i === 0 ? 20_000_000 : 50_000 + i);
      const socket = tunnel.dial(7);
      socket.end(sent);
      assert.equal(hash(await allOf(socket)), hash(sent), `connection ${i}`);
    }),
  );
});

test("kubectl prints why a port of the pod cannot be reached", async () => {
  await using tunnel = await forwarding(81);
  const socket = tunnel.dial(81);
  await allOf(socket);
  while (!tunnel.output.text.includes("refused")) {
    assert.equal(tunnel.child.exitCode, null, tunnel.output.text);
    await said(tunnel.child);
  }
  assert.match(tunnel.output.text, /error forwarding port 81 to pod web: connect to port: localhost:81: connection refused/);
});

test("when kubectl goes away the node hears of it, also of a connection that nobody reads", async () => {
  const tunnel = await forwarding(82);
  const socket = tunnel.dial(82);
  socket.on("error", () => {});
  socket.write(Buffer.alloc(200_000));
  await stuckBegan.promise;
  await tunnel[Symbol.asyncDispose]();
  await stuckEnded.promise;
});

test("it must be clear where to: a pod on a node, by WebSocket", async () => {
  const unbound = await api.http.send("GET", `${pods}/unbound/portforward`, { headers: { connection: "Upgrade", upgrade: "websocket" } });
  assert.match(unbound.json?.message ?? "", /does not have a host assigned/);
  const plain = await api.http.get(`${pods}/web/portforward`);
  assert.deepEqual([plain.status, plain.json.message], [400, "Upgrade request required"]);
});

async function dial(query: string, protocol: string): Promise<WebSocket> {
  const [cert, key] = await Promise.all([readFile(`${api.pki.dir}/admin.crt`), readFile(`${api.pki.dir}/admin.key`)]);
  const url = `${api.url.replace("https", "wss")}${pods}/web/portforward${query}`;
  const socket = new WebSocket(url, [protocol], { ca: api.pki.authority.pair.certPem, cert, key });
  await once(socket, "open");
  return socket;
}

test("without a tunnel a socket carries a connection to each port, whose errors are told apart", async () => {
  const socket = await dial("?ports=80&ports=81", "v5.channel.k8s.io");
  socket.send(Buffer.concat([Buffer.of(0), Buffer.from("hello")]));
  socket.send(Buffer.of(255, 0));
  const texts: { [channel: number]: string } = {};
  socket.on("message", (data: Buffer) => {
    texts[data[0] ?? 0] = (texts[data[0] ?? 0] ?? "") + data.subarray(1).toString("latin1");
  });
  const [code] = await once(socket, "close");
  assert.deepEqual(texts, {
    0: "P\0heard hello",
    1: "P\0",
    2: "Q\0",
    3: "Q\0error forwarding port 81 to pod web: connect to port: localhost:81: connection refused",
    // The ends of both, in any order.
    255: texts[255]?.startsWith("\0") ? "\0\u0002" : "\u0002\0",
  });
  assert.equal(code, 1000);
});

test("ports must be numbers of ports", async () => {
  for (const ports of ["0", "65536", "http", "80,x"]) await assert.rejects(dial(`?ports=${ports}`, "v4.channel.k8s.io"), /400/);
  await assert.rejects(dial("", "v4.channel.k8s.io"), /400/);
});
