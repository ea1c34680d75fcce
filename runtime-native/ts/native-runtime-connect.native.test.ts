import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { Node } from "./native-runtime-fixture.ts";
import { type PortOutput, RuntimeError } from "./runtime.ts";
import { until } from "./testing/patience.ts";

const node = new Node();
const runtime = node.agent();
const signal = AbortSignal.timeout(600_000);
const pod = node.sandbox();

before(() => runtime.createSandbox(pod, signal));
after(async () => {
  await runtime.removeSandbox(pod.id);
  await node.close();
});

/** A program that listens where the pod does: its network is the node's. */
async function listening(handle: (socket: Socket) => void, host = "127.0.0.1") {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    handle(socket);
  });
  server.listen(0, host);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.dispose]() {
      server.close();
    },
  };
}

class Collected implements PortOutput {
  readonly chunks: Buffer[] = [];
  readonly #ended = Promise.withResolvers<void>();
  readonly ended = this.#ended.promise;
  data(chunk: Uint8Array): void {
    this.chunks.push(Buffer.from(chunk));
  }
  end(): void {
    this.#ended.resolve();
  }
  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }
}

test("bytes go both ways, and each direction ends by itself", async () => {
  using server = await listening(async (socket) => {
    let received = "";
    for await (const chunk of socket) received += chunk;
    // The client has ended; the answer still goes out.
    socket.end(`heard ${received}`);
  });
  const output = new Collected();
  const session = await runtime.connect(pod.id, server.port, output, signal);
  await session.write(Buffer.from("hello"));
  session.end();
  await session.closed;
  assert.equal(output.text, "heard hello");
});

test("the pod's side may end first and still be written to", async () => {
  const heard = Promise.withResolvers<string>();
  using server = await listening(async (socket) => {
    socket.end("bye");
    let received = "";
    for await (const chunk of socket) received += chunk;
    heard.resolve(received);
  });
  const output = new Collected();
  const session = await runtime.connect(pod.id, server.port, output, signal);
  await output.ended;
  assert.equal(output.text, "bye");
  await session.write(Buffer.from("one more thing"));
  session.end();
  await session.closed;
  assert.equal(await heard.promise, "one more thing");
});

test("a program that listens on ::1 only is found", async () => {
  using server = await listening((socket) => socket.end("six"), "::1");
  const output = new Collected();
  const session = await runtime.connect(pod.id, server.port, output, signal);
  session.end();
  await session.closed;
  assert.equal(output.text, "six");
});

test("where nobody listens the connection is refused, with its errno", async () => {
  const server = await listening(() => {});
  const { port } = server;
  server[Symbol.dispose]();
  await assert.rejects(runtime.connect(pod.id, port, new Collected(), signal), (error) => {
    assert.ok(error instanceof RuntimeError);
    assert.equal(error.message, `connect to port: localhost:${port}: connection refused`);
    assert.equal(error.errno, 111);
    return true;
  });
  for (const wrong of [0, 65_536]) {
    await assert.rejects(
      runtime.connect(pod.id, wrong, new Collected(), signal),
      (error) => error instanceof RuntimeError && error.reason === "InvalidArgument",
    );
  }
  await assert.rejects(
    runtime.connect("nowhere", 80, new Collected(), signal),
    (error) => error instanceof RuntimeError && error.reason === "NotFound",
  );
});

test("a reset by the pod's program is an error, not an end", async () => {
  using server = await listening((socket) => socket.once("data", () => socket.resetAndDestroy()));
  const session = await runtime.connect(pod.id, server.port, new Collected(), signal);
  await session.write(Buffer.from("x"));
  await assert.rejects(session.closed, /read from port: localhost:\d+: connection reset by peer/);
});

test("when the agent's side breaks off the pod's program sees a reset, not an end", async () => {
  const seen = Promise.withResolvers<string>();
  using server = await listening((socket) => {
    socket.once("end", () => seen.resolve("end"));
    socket.once("error", (error: NodeJS.ErrnoException) => seen.resolve(error.code ?? ""));
    socket.resume().write("ready");
  });
  const cancel = new AbortController();
  const session = await runtime.connect(pod.id, server.port, new Collected(), cancel.signal);
  cancel.abort();
  await assert.rejects(session.closed, (error) => error instanceof RuntimeError && error.reason === "Cancelled");
  assert.equal(await seen.promise, "ECONNRESET");
});

test("many connections at once keep their own bytes, however many", async () => {
  using server = await listening((socket) => socket.pipe(socket));
  await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      const sent = Buffer.alloc(400_000, `${i} `);
      const hash = createHash("sha256");
      const output: PortOutput = {
        data(chunk) {
          hash.update(chunk);
        },
        end() {},
      };
      const session = await runtime.connect(pod.id, server.port, output, signal);
      await session.write(sent);
      session.end();
      await session.closed;
      assert.equal(hash.digest("hex"), createHash("sha256").update(sent).digest("hex"));
    }),
  );
});

test("the sender waits for the reader, both ways", async () => {
  let written = 0;
  const readOn = Promise.withResolvers<void>();
  let received = 0;
  using server = await listening((socket) => {
    const chunk = Buffer.alloc(64 * 1024);
    const fill = () => {
      while (written < 50_000_000 && socket.write(chunk)) written += chunk.length;
      if (written >= 50_000_000) socket.end();
    };
    socket.on("drain", () => {
      written += chunk.length;
      fill();
    });
    fill();
    void readOn.promise.then(() => socket.on("data", (data: Buffer) => (received += data.length)));
  });
  let taken = 0;
  const output: PortOutput = {
    async data(chunk) {
      await readOn.promise;
      taken += chunk.length;
    },
    end() {},
  };
  const session = await runtime.connect(pod.id, server.port, output, signal);
  const sending = session.write(Buffer.alloc(30_000_000));
  const first = await Promise.race([sending.then(() => "sent"), new Promise((resolve) => setTimeout(resolve, 200, "waiting"))]);
  assert.equal(first, "waiting");
  assert.ok(written < 20_000_000, `${written} bytes of output`);
  readOn.resolve();
  await sending;
  session.end();
  await session.closed;
  assert.ok(taken >= 50_000_000);
  // The other end of the same process may still have to be told of the last of it.
  await until("all of the input has arrived", () => received === 30_000_000);
});
