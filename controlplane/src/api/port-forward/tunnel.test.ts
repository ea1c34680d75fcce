import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { encodeData, encodeReset, encodeSynStream, type Frame, FrameReader, resetStatus } from "../spdy/frames.ts";
import { HeaderWriter } from "../spdy/header-block.ts";
import { type AgentSide, ScriptedNodes } from "../testing/scripted-node.ts";
import { serveTunnel } from "./tunnel.ts";

/** A tunnel to a pod whose program does as the test says, seen from its client. */
class Client implements AsyncDisposable {
  readonly frames: Frame[] = [];
  readonly #bytes = new PassThrough();
  readonly #headers = new HeaderWriter();
  readonly #served: Promise<void>;
  #wake: () => void = () => {};

  constructor(program: (port: number, agent: AgentSide) => Promise<void>) {
    const nodes = new ScriptedNodes();
    nodes.script = async (request, agent) => {
      if (request.$case === "portForward") await program(request.value.port, agent);
    };
    const reader = new FrameReader();
    const send = async (bytes: Buffer) => {
      this.frames.push(...reader.push(bytes));
      this.#wake();
    };
    const open = (port: number, signal: AbortSignal) => nodes.open("n", { $case: "portForward", value: { podUid: "u", port } }, signal);
    this.#served = serveTunnel(this.#bytes, send, { podName: "web", open });
  }

  /** The streams of a connection have the numbers `id` and `id + 2`. */
  connect(id: number, port: number): void {
    this.open(id, { streamtype: "error", port: String(port), requestid: String(id) });
    this.open(id + 2, { streamtype: "data", port: String(port), requestid: String(id) });
    this.send(encodeData(id, Buffer.alloc(0), true));
  }

  open(id: number, headers: { readonly [name: string]: string }): void {
    this.send(encodeSynStream(id, this.#headers.write(new Map(Object.entries(headers)))));
  }

  send(bytes: Buffer): void {
    this.#bytes.write(bytes);
  }

  /** All that came on a stream once it has ended. */
  async textOf(id: number): Promise<string> {
    const mine = () => this.frames.flatMap((frame) => (frame.type === "data" && frame.stream === id ? [frame] : []));
    while (!mine().some(({ fin }) => fin)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return Buffer.concat(mine().map(({ data }) => data)).toString();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#bytes.end();
    await this.#served;
  }
}

const echo = async (port: number, agent: AgentSide) => {
  if (port !== 7) return await agent.fail("ServiceUnavailable", `nothing on ${port}`);
  for await (const frame of agent.received) {
    if (frame.$case === "stdin") await agent.stdout(Buffer.from(frame.value));
    if (frame.$case === "stdinClosed") break;
  }
  await agent.endOutput();
  await agent.exit(0);
};

test("a connection that is refused, and one that is reset, leave the tunnel to the others", async () => {
  await using client = new Client(echo);
  client.connect(1, 7);
  client.connect(5, 8);
  assert.deepEqual([await client.textOf(5), await client.textOf(7)], ["error forwarding port 8 to pod web: nothing on 8", ""]);
  client.connect(9, 7);
  client.send(encodeData(11, Buffer.from("cut"), false));
  client.send(encodeReset(11, resetStatus.cancel));
  // The error stream still ends, which clients wait for.
  assert.equal(await client.textOf(9), "");
  client.send(encodeData(3, Buffer.from("hello"), true));
  assert.deepEqual([await client.textOf(3), await client.textOf(1)], ["hello", ""]);
  assert.ok(!client.frames.some(({ type }) => type === "goAway"));
});

test("a reset reaches the node, also when the pod reads nothing", async () => {
  const began = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  await using client = new Client(async (_port, agent) => {
    agent.closed.addEventListener("abort", () => ended.resolve());
    began.resolve();
    await ended.promise;
  });
  client.connect(1, 7);
  client.send(encodeData(3, Buffer.alloc(500_000), false));
  await began.promise;
  client.send(encodeReset(3, resetStatus.cancel));
  await ended.promise;
  assert.equal(await client.textOf(1), "");
});

test("streams that do not say what they are for are refused", async () => {
  await using client = new Client(echo);
  client.open(1, {});
  client.open(3, { streamtype: "data", port: "0" });
  client.open(5, { streamtype: "other", port: "7" });
  client.open(7, { streamtype: "data", port: "70000" });
  client.connect(9, 8);
  await client.textOf(9);
  assert.deepEqual(client.frames.flatMap((frame) => (frame.type === "rstStream" ? [frame.stream] : [])).slice(0, 4), [1, 3, 5, 7]);
});
