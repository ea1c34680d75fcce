import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { credentials } from "@grpc/grpc-js";
import type { StreamFrame } from "@tessera/proto/node";
import { pino } from "pino";
import { systemClock } from "../clock.ts";
import { until } from "../pod/testing/harness.ts";
import { FakeControlPlane } from "./fake-control-plane.ts";
import { NodeSession } from "./node-session.ts";
import { Outbox } from "./outbox.ts";

const keepaliveMs = 20;

test("a stream goes on where it began when the session is begun anew", async (t) => {
  const controlPlane = new FakeControlPlane();
  await controlPlane.start();
  let connections = 0;
  const session = new NodeSession({
    target: controlPlane.target,
    credentials: () => credentials.createInsecure(),
    handler: {
      hello: () => ({ nodeName: "node-1", nodeStatus: Buffer.from("{}"), labels: {}, pods: [] }),
      message: () => undefined,
      // Sends back what it gets.
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
    clock: systemClock,
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
  const stream = await controlPlane.open({
    $case: "exec",
    value: { podUid: "u", container: "c", command: [], stdin: true, stdout: true, stderr: false, tty: false },
  });
  session.reconnect();
  await until(() => connections === 2);
  // Long enough for the first connection to be looked at several times.
  const endMs = performance.now() + 10 * keepaliveMs;
  for (let count = 1; performance.now() < endMs; count++) {
    const answer = once(stream, "data", { signal: AbortSignal.timeout(5_000) });
    stream.write({ frame: { $case: "stdin", value: Buffer.from(String(count)) } });
    const [{ frame }] = (await answer) as [StreamFrame];
    assert.equal(frame?.$case === "stdin" && frame.value.toString(), String(count));
  }
});
