import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { WebSocket } from "ws";
import { exitCode } from "../command.ts";
import { FakeServer } from "../testing/fake-server.ts";
import { runTsctl } from "../testing/run.ts";

const path = "/api/v1/namespaces/shop/pods/a/exec";
const message = (channel: number, text: string) => Buffer.concat([Buffer.of(channel), Buffer.from(text)]);
const success = message(3, JSON.stringify({ status: "Success" }));
const failure = (code: number) =>
  message(
    3,
    JSON.stringify({ status: "Failure", reason: "NonZeroExitCode", details: { causes: [{ reason: "ExitCode", message: String(code) }] } }),
  );

/** A server on which a command is run by `handle`. */
async function serving(handle: (socket: WebSocket) => void): Promise<FakeServer> {
  return (await FakeServer.start()).onWebSocket(path, handle);
}
const exec = (server: FakeServer, flags: readonly string[], input?: string) =>
  runTsctl(["exec", "a", "-c", "main", ...flags, "--", "cmd", "-n", "x y"], { server, input });

describe("exec", () => {
  it("passes both outputs on and exits as the command does", async () => {
    await using server = await serving((socket) => {
      socket.send(message(1, ""));
      socket.send(message(1, "out\n"));
      socket.send(message(2, "err\n"));
      socket.send(failure(7));
      socket.close();
    });
    assert.deepEqual(await exec(server, []), { code: 7, stdout: "out\n", stderr: "err\n" });
    const [request] = server.requests;
    assert.deepEqual(request?.query.getAll("command"), ["cmd", "-n", "x y"]);
    assert.deepEqual([request?.query.get("stdin"), request?.query.get("tty")], ["false", "false"]);
    assert.equal(request?.headers["sec-websocket-protocol"], "v5.channel.k8s.io,v4.channel.k8s.io");
  });

  it("sends stdin and tells its end", async () => {
    await using server = await serving((socket) => {
      let received = "";
      socket.on("message", (data: Buffer) => {
        if (data[0] === 0) received += data.subarray(1).toString();
        if (data[0] !== 255) return;
        assert.equal(data[1], 0);
        socket.send(message(1, received.toUpperCase()));
        socket.send(success);
        socket.close();
      });
    });
    assert.deepEqual(await exec(server, ["-i"], "through stdin"), { code: 0, stdout: "THROUGH STDIN", stderr: "" });
  });

  for (const [sentence, end] of [
    ["the connection breaks", (socket: WebSocket) => socket.terminate()],
    ["the server ends it without a word", (socket: WebSocket) => socket.close(1000)],
    [
      "the server says that the node is lost",
      (socket: WebSocket) => {
        socket.send(
          message(3, JSON.stringify({ status: "Failure", reason: "ServiceUnavailable", message: 'the connection to node "n" is lost' })),
        );
        socket.close();
      },
    ],
  ] as const) {
    it(`never takes it for success when ${sentence}`, async () => {
      await using server = await serving((socket) => {
        socket.send(message(1, "half of the back"));
        setTimeout(() => end(socket), 10);
      });
      const { code, stdout, stderr } = await exec(server, []);
      assert.deepEqual([code, stdout], [exitCode.connectionLost, "half of the back"]);
      assert.match(stderr, /error: the connection .*lost/);
    });
  }

  it("tells the server's refusal to start the command", async () => {
    await using server = await FakeServer.start();
    const { code, stderr } = await exec(server, []);
    assert.deepEqual([code, stderr], [1, 'error: a "exec" not found\n']);
  });

  it("tells an error of the node that is no exit code", async () => {
    await using server = await serving((socket) => {
      socket.send(message(3, JSON.stringify({ status: "Failure", reason: "InternalError", message: "no space left" })));
      socket.close();
    });
    assert.deepEqual(await exec(server, []), { code: 1, stdout: "", stderr: "error: no space left\n" });
  });

  it("gives no terminal where there is none, and says so", async () => {
    await using server = await serving((socket) => {
      socket.send(success);
      socket.close();
    });
    const { code, stderr } = await exec(server, ["-it"], "");
    assert.deepEqual([code, stderr], [0, "note: stdin is no terminal, so the command gets none\n"]);
    assert.equal(server.requests[0]?.query.get("tty"), "false");
  });

  it("chooses the container that the pod prefers, and says so", async () => {
    await using server = await serving((socket) => {
      socket.send(success);
      socket.close();
    });
    const annotations = { "kubectl.kubernetes.io/default-container": "side" };
    server.on("GET /api/v1/namespaces/shop/pods/a", {
      body: { metadata: { annotations }, spec: { containers: [{ name: "main" }, { name: "side" }] } },
    });
    const { stderr } = await runTsctl(["exec", "pod/a", "--", "true"], { server });
    assert.equal(stderr, "Of the containers main, side this is side; -c chooses another one\n");
    assert.equal(server.requests.at(-1)?.query.get("container"), "side");
  });
});
