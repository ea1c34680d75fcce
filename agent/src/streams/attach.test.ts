import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { AttachRequest, Exit, StreamFrame } from "@tessera/proto/node";
import type { AttachOptions, ExecOutput, ExecSession } from "@tessera/runtime-native";
import { FakeClock } from "../pod/testing/fake-clock.ts";
import { type AttachTarget, serveAttach } from "./attach.ts";

type Frame = NonNullable<StreamFrame["frame"]>;

/** A container with someone attached to it, both played by the test. */
class Attached {
  readonly clock = new FakeClock();
  /** What the container was given, and how its stdin ended. */
  readonly given: string[] = [];
  /** What the client was sent. */
  readonly seen: string[] = [];
  readonly ended: Promise<void>;
  isOver = false;
  options: AttachOptions | undefined;
  #output: ExecOutput | undefined;
  #exit = Promise.withResolvers<{ exitCode: number }>();
  #frames = new TransformStream<Frame, Frame>(undefined, { highWaterMark: 100 });
  #client = this.#frames.writable.getWriter();

  constructor(target: Partial<AttachTarget>) {
    const session: ExecSession = {
      write: async (chunk) => void this.given.push(Buffer.from(chunk).toString()),
      closeStdin: () => this.given.push("<end>"),
      resize: () => undefined,
      kill: () => undefined,
      exited: this.#exit.promise,
    };
    const runtime = {
      attach: async (_sandbox: string, _container: string, output: ExecOutput, _signal: AbortSignal, options?: AttachOptions) => {
        this.#output = output;
        this.options = options;
        return session;
      },
    };
    const frames = this.#frames.readable;
    const peer = {
      signal: new AbortController().signal,
      async *frames() {
        yield* frames;
      },
      send: async (_kind: string, chunk: Uint8Array) => void this.seen.push(Buffer.from(chunk).toString()),
      exit: async (_exit: Partial<Exit>) => undefined,
    };
    const made = { sandbox: "uid", container: "main_0", stdin: true, stdinOnce: false, tty: false, isEphemeral: false, ...target };
    const request: AttachRequest = { podUid: "uid", container: "main", stdin: true, stdout: true, stderr: true, tty: made.tty };
    this.ended = serveAttach({ runtime, clock: this.clock }, made, request, peer).finally(() => (this.isOver = true));
  }

  /** The client sends its input and closes it. */
  async input(text: string): Promise<void> {
    await this.#client.write({ $case: "stdin", value: Buffer.from(text) });
    await this.#client.write({ $case: "stdinClosed", value: {} });
    await nextTurn();
  }

  async says(text: string): Promise<void> {
    await this.#output?.stdout(Buffer.from(text));
    await nextTurn();
  }

  exits(): void {
    this.#exit.resolve({ exitCode: 0 });
  }

  async passes(ms: number): Promise<void> {
    this.clock.advance(ms);
    await nextTurn();
  }
}

test("a container that keeps its stdin has its answer heard, up to the silence after it", async () => {
  const attached = new Attached({});
  await attached.input("status\n");
  assert.deepEqual(attached.given, ["status\n"]);
  await attached.passes(900);
  await attached.says("working");
  await attached.passes(900);
  await attached.says("done");
  assert.equal(attached.isOver, false);
  await attached.passes(1_000);
  await attached.ended;
  assert.deepEqual(attached.seen, ["working", "done"]);
  assert.deepEqual(attached.options, { endsStdin: false, earlyOutput: false });
});

test("a container that never falls silent is not listened to for ever", async () => {
  const attached = new Attached({});
  await attached.input("status\n");
  for (let at = 0; at < 20; at++) {
    await attached.says(".");
    await attached.passes(500);
  }
  await attached.ended;
});

test("silence before the client's stdin has ended means nothing", async () => {
  const attached = new Attached({});
  await attached.says("hello");
  await attached.passes(60_000);
  assert.equal(attached.isOver, false);
  attached.exits();
  await attached.ended;
});

for (const [kind, target] of [
  ["for one session", { stdinOnce: true }],
  ["of an ephemeral container", { isEphemeral: true }],
] as const) {
  test(`stdin ${kind} ends with the client's, and all is heard until the container ends`, async () => {
    const attached = new Attached(target);
    await attached.input("sleep 60; echo done");
    assert.deepEqual(attached.given, ["sleep 60; echo done", "<end>"]);
    await attached.passes(60_000);
    assert.equal(attached.isOver, false);
    await attached.says("done");
    attached.exits();
    await attached.ended;
    assert.deepEqual(attached.seen, ["done"]);
    assert.deepEqual(attached.options, { endsStdin: "stdinOnce" in target, earlyOutput: true });
  });
}

test("a terminal is not ended by the end of what is typed into it, and its answer is heard", async () => {
  const attached = new Attached({ isEphemeral: true, stdinOnce: true, tty: true });
  await attached.input("ls\n");
  await attached.says("bin");
  await attached.passes(1_000);
  await attached.ended;
  assert.deepEqual([attached.given, attached.seen], [["ls\n"], ["bin"]]);
});
