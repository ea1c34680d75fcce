import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { credentials } from "@grpc/grpc-js";
import type { StreamFrame } from "@tessera/proto/node";
import { pino } from "pino";
import { type Clock, systemClock } from "../clock.ts";
import { until } from "../pod/testing/harness.ts";
import { FakeControlPlane } from "./fake-control-plane.ts";
import { NodeSession } from "./node-session.ts";
import { Outbox } from "./outbox.ts";

const keepaliveMs = 20;

interface Running {
  readonly controlPlane: FakeControlPlane;
  readonly session: NodeSession;
  /** How often the session was welcomed. */
  readonly connections: () => number;
}

/** A session with a fake control plane, until the end of the test; its streams send back what they get. */
async function startSession(t: TestContext, clock: Clock = systemClock): Promise<Running> {
  const controlPlane = new FakeControlPlane();
  await controlPlane.start();
  let connections = 0;
  const session = new NodeSession({
    target: controlPlane.target,
    credentials: () => credentials.createInsecure(),
    handler: {
      hello: () => ({ nodeName: "node-1", nodeStatus: Buffer.from("{}"), labels: {}, pods: [] }),
      message: () => undefined,
      openStream: (_request, dial) => {
        const call = dial();
        call.on("data", (frame: StreamFrame) => call.write(frame));
        call.on("error", () => undefined);
      },
      connected: (isConnected) => {
        if (isConnected) connections += 1;
      },
    },
    outbox: new Outbox(),
    clock,
    random: () => 0,
    keepaliveMs,
    log: pino({ level: "silent" }),
  });
  const stop = new AbortController();
  const running = session.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
    controlPlane.stop();
  });
  await until(() => connections === 1);
  return { controlPlane, session, connections: () => connections };
}

test("a session of some length that ends well is begun anew without a pause", async (t) => {
  let skewMs = 0;
  // Nobody who waits for a time is woken.
  const clock: Clock = { now: () => Date.now() + skewMs, wakeAt: () => () => undefined };
  const { controlPlane, connections } = await startSession(t, clock);
  skewMs = 5_000;
  controlPlane.endSession();
  await until(() => connections() === 2);
});

test("a stream goes on where it began when the session is begun anew", async (t) => {
  const { controlPlane, session, connections } = await startSession(t);
  const stream = await controlPlane.open({
    $case: "exec",
    value: { podUid: "u", container: "c", command: [], stdin: true, stdout: true, stderr: false, tty: false },
  });
  session.reconnect();
  await until(() => connections() === 2);
  // Long enough for the first connection to be looked at several times.
  const endMs = performance.now() + 10 * keepaliveMs;
  for (let count = 1; performance.now() < endMs; count++) {
    const answer = once(stream, "data", { signal: AbortSignal.timeout(30_000) });
    stream.write({ frame: { $case: "stdin", value: Buffer.from(String(count)) } });
    const [{ frame }] = (await answer) as [StreamFrame];
    assert.equal(frame?.$case === "stdin" && frame.value.toString(), String(count));
  }
});
