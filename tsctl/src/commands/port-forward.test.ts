import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, it } from "node:test";
import type { WebSocket } from "ws";
import { HttpsApi } from "../api/https-api.ts";
import { carry, listen, portOf } from "../remote/forwarder.ts";
import { FakeServer } from "../testing/fake-server.ts";
import { runTsctl } from "../testing/run.ts";

const path = "/api/v1/namespaces/shop/pods/a/portforward";
const message = (channel: number, ...parts: (string | Buffer)[]) =>
  Buffer.concat([Buffer.of(channel), ...parts.map((part) => Buffer.from(part))]);
const port80 = Buffer.of(80, 0);

/** A listener here whose connections lead to `handle`; what fails is kept. */
async function forwarding(server: FakeServer) {
  const api = new HttpsApi({ access: { server: server.url, tls: {}, headers: {} }, onWarning: () => {} });
  const faults: string[] = [];
  const listener = await listen("127.0.0.1", 0, (socket) => {
    void api
      .websocket(path, "ports=80", ["v5.channel.k8s.io"])
      .then((remote) => carry(socket, remote))
      .catch((error: Error) => faults.push(error.message));
  });
  return {
    faults,
    dial: () => connect({ port: portOf(listener), host: "127.0.0.1", allowHalfOpen: true }),
    [Symbol.dispose]: () => {
      listener.close();
      api.close();
    },
  };
}

async function textOf(socket: AsyncIterable<Buffer>): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += chunk;
  return text;
}

describe("port-forward", () => {
  it("carries both directions, each to its own end", async () => {
    await using server = (await FakeServer.start()).onWebSocket(path, (socket: WebSocket) => {
      socket.send(message(0, port80));
      socket.send(message(1, port80));
      let received = "";
      socket.on("message", (data: Buffer) => {
        if (data[0] === 0) received += data.subarray(1);
        if (data[0] !== 255) return;
        socket.send(message(0, `heard ${received}`));
        socket.send(Buffer.of(255, 0));
        socket.close();
      });
    });
    using local = await forwarding(server);
    const socket = local.dial();
    socket.end("hello");
    assert.equal(await textOf(socket), "heard hello");
    assert.equal(server.requests.at(-1)?.query.get("ports"), "80");
    assert.deepEqual(local.faults, []);
  });

  for (const [sentence, end, fault] of [
    ["refused by the pod", (socket: WebSocket) => socket.send(message(1, "refused")), "refused"],
    ["cut short", (socket: WebSocket) => socket.send(message(0, "half")), "the connection to the pod was lost"],
  ] as const) {
    it(`resets a connection that is ${sentence}, and says why`, async () => {
      await using server = (await FakeServer.start()).onWebSocket(path, (socket: WebSocket) => {
        socket.send(message(0, port80));
        socket.send(message(1, port80));
        end(socket);
        socket.close();
      });
      using local = await forwarding(server);
      const socket = local.dial();
      const [error] = await once(socket.resume(), "error");
      assert.equal(error.code, "ECONNRESET");
      assert.deepEqual(local.faults, [fault]);
    });
  }

  it("refuses what is no pair of ports, and a port that is taken", async () => {
    for (const ports of ["0", "80:0", "x", "80:70000", "1:2:3"]) {
      const { code, stderr } = await runTsctl(["port-forward", "a", ports]);
      assert.deepEqual([code, stderr.includes(`"${ports}" is no pair of ports such as 8080:80, 80 or :80`)], [2, true], stderr);
    }
    const taken = await listen("127.0.0.1", 0, () => {});
    await assert.rejects(
      listen("127.0.0.1", portOf(taken), () => {}),
      /the port is taken/,
    );
    taken.close();
  });

  it("forwards to running pods only", async () => {
    await using server = await FakeServer.start();
    server.on("GET /api/v1/namespaces/shop/pods/a", { body: { status: { phase: "Pending" } } });
    const { code, stderr } = await runTsctl(["port-forward", "a", "8080:80"], { server });
    assert.deepEqual([code, stderr], [1, 'error: pod "a" is Pending: only a running one has ports\n']);
  });
});
