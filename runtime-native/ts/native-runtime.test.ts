import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { NativeRuntime, type RuntimeLibrary } from "./native-runtime.ts";
import { RuntimeError, type RuntimeEvent } from "./runtime.ts";
import { encodeFrame, FieldWriter, FrameReader, frames } from "./shim-protocol.ts";

/** Faults that a real shim does not have on demand: a shim made of a server that answers as the test says. */
const folder = mkdtempSync(join(tmpdir(), "tessera-shim-fake-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const signal = new AbortController().signal;

let killed: string[];
let events: RuntimeEvent[];
let wake: () => void;

beforeEach(() => {
  killed = [];
  events = [];
  wake = () => {};
});

const library: RuntimeLibrary = {
  spawnShim: () => Promise.reject(new Error("no shim is started here")),
  createCgroup: async () => [],
  freezeCgroup: async () => {},
  isCgroupFrozen: async () => false,
  killCgroup: async (path) => {
    killed.push(path);
  },
  clearCgroup: async (path) => {
    killed.push(path);
  },
  clearSandbox: async ({ cgroup }) => {
    killed.push(cgroup);
  },
  listCgroups: async () => [],
  removeEndedCgroups: async () => 0,
  cgroupSamples: async () => [],
  defaultSeccompFilter: async () => new Uint8Array(8),
  compileSeccompProfile: async () => new Uint8Array(8),
};

function makeRuntime(name: string): NativeRuntime {
  const runDir = join(folder, name);
  mkdirSync(join(runDir, "pod"), { recursive: true });
  writeFileSync(join(runDir, "pod/sandbox.json"), JSON.stringify({ id: "pod", cgroup: "podpod" }));
  const log = { info: () => {}, warn: () => {} };
  const runtime = new NativeRuntime({
    nativeDir: "/nowhere",
    runDir,
    log,
    library,
    files: { unmountBelow: async () => {}, removeTree: async () => {} },
  });
  runtime.onEvent((event) => {
    events.push(event);
    wake();
  });
  return runtime;
}

type Answer = (socket: Socket, type: number, request: number, connection: number) => void;

async function serve(name: string, answer: Answer): Promise<Server> {
  let connections = 0;
  const server = createServer((socket) => {
    const connection = ++connections;
    const reader = new FrameReader();
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      for (const frame of reader.push(chunk)) answer(socket, frame.type, frame.request, connection);
    });
  });
  await new Promise<void>((resolve) => server.listen(join(folder, name, "pod/shim.sock"), resolve));
  return server;
}

function state(containers: { id: string; exitCode?: number }[], sandbox = "pod"): Buffer {
  const writer = new FieldWriter().u32("PID", 4321).string("SANDBOX", sandbox);
  for (const { id, exitCode } of containers)
    writer.fields("CONTAINER_STATE", (inner) => {
      inner.string("CONTAINER", id).u64("STARTED_AT", 1000);
      if (exitCode === undefined) inner.u32("PID", 5);
      else inner.u64("FINISHED_AT", 2000).u32("EXIT_CODE", exitCode).u32("SIGNAL", 0).u32("OOM_KILLED", 0);
    });
  return writer.finish();
}

async function nextEvent(): Promise<RuntimeEvent> {
  if (events.length === 0)
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  const [event] = events.splice(0, 1);
  assert.ok(event);
  return event;
}

test("a connection that ends while the shim lives is made again, and an exit of that time is told", async () => {
  const runtime = makeRuntime("again");
  const server = await serve("again", (socket, type, request, connection) => {
    if (type === frames.STATE)
      socket.write(encodeFrame("STATE_IS", request, state([connection === 1 ? { id: "app" } : { id: "app", exitCode: 4 }])));
    else if (type === frames.SIGNAL && connection === 1) socket.destroy();
    else socket.write(encodeFrame("OK", request));
  });
  assert.equal((await runtime.recover(signal)).length, 1);
  await assert.rejects(runtime.signalContainer("pod", "app", 15), (error) => error instanceof RuntimeError && error.reason === "NotFound");
  const event = await nextEvent();
  assert.ok(event.event === "containerExited" && event.container.exitCode === 4);
  await runtime.signalContainer("pod", "app", 15);
  assert.deepEqual(killed, []);
  await runtime.close();
  server.close();
});

test("a shim that says what is no frame is hung up on and asked again", async () => {
  const runtime = makeRuntime("noise");
  const server = await serve("noise", (socket, type, request, connection) => {
    if (type === frames.STATE) socket.write(encodeFrame("STATE_IS", request, state([])));
    else if (connection === 1) socket.write(Buffer.alloc(64, 0xff));
    else socket.write(encodeFrame("OK", request));
  });
  await runtime.recover(signal);
  await assert.rejects(runtime.signalContainer("pod", "app", 15), RuntimeError);
  while (true) {
    const answered = await runtime.signalContainer("pod", "app", 15).then(
      () => true,
      () => false,
    );
    if (answered) break;
    await new Promise((next) => setImmediate(next));
  }
  assert.deepEqual(killed, []);
  await runtime.close();
  server.close();
});

test("a shim that answers for another pod is not taken for this one's", async () => {
  const runtime = makeRuntime("other");
  const server = await serve("other", (socket, _type, request) => socket.write(encodeFrame("STATE_IS", request, state([], "stranger"))));
  assert.deepEqual(await runtime.recover(signal), []);
  assert.deepEqual(killed, ["podpod"]);
  assert.deepEqual(await nextEvent(), { event: "sandboxLost", sandbox: "pod" });
  await runtime.close();
  server.close();
});

test("a shim that is gone for good is reported once, and its pod's cgroup is killed", async () => {
  const runtime = makeRuntime("gone");
  const server = await serve("gone", (socket, type, request) => {
    if (type === frames.STATE) socket.write(encodeFrame("STATE_IS", request, state([{ id: "app" }])));
    else {
      server.close();
      socket.destroy();
    }
  });
  await runtime.recover(signal);
  await assert.rejects(runtime.signalContainer("pod", "app", 15), RuntimeError);
  assert.deepEqual(await nextEvent(), { event: "sandboxLost", sandbox: "pod" });
  assert.deepEqual(killed, ["podpod"]);
  await assert.rejects(runtime.signalContainer("pod", "app", 15), (error) => error instanceof RuntimeError && error.reason === "NotFound");
  await runtime.close();
  assert.deepEqual(events, []);
});
