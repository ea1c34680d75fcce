import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { eventually, ManualClock } from "../controllers/testing/fakes.ts";
import { sharedControlPlane } from "./testing/shared-control-plane.ts";

const plane = sharedControlPlane();
const { fresh } = plane;

describe("streams", () => {
  const request = {
    $case: "log" as const,
    value: { podUid: "u", container: "c", follow: false, previous: false, timestamps: false, sinceTime: "" },
  };
  const never = new AbortController().signal;

  test("frames go both ways and end with the agent's exit frame", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const agent = await nodes.agent(name);
    const session = await agent.join(name);
    const opening = nodes.server.open(name, request, never);
    const asked = await session.received("openStream");
    assert.equal(asked.request?.$case, "log");
    const dialled = agent.stream(asked.streamId);
    const stream = await opening;
    await stream.send({ frame: { $case: "stdin", value: Buffer.from("in") } });
    dialled.send({ $case: "stdout", value: Buffer.from("out") });
    dialled.send({ $case: "exit", value: { code: 3, reason: "", message: "" } });
    const seen: unknown[] = [];
    for await (const { frame } of stream.frames) seen.push(frame?.$case === "stdout" ? frame.value.toString() : frame);
    assert.deepEqual(seen, ["out", { $case: "exit", value: { code: 3, reason: "", message: "" } }]);
    await eventually("the agent got its frame", () => dialled.frames.length === 1);
    stream.close();
    await eventually("the call ended", () => dialled.call.readableEnded);
  });

  test("the id of another node's stream opens nothing, and the node that was asked still can", async () => {
    await using nodes = await plane.serve();
    const [a, b] = [fresh("a"), fresh("b")];
    const asked = await nodes.agent(a);
    const thief = await nodes.agent(b);
    const session = await asked.join(a);
    await thief.join(b);
    const opening = nodes.server.open(a, request, never);
    const { streamId } = await session.received("openStream");
    const stolen = thief.stream(streamId);
    await eventually("the thief is refused", () => stolen.error?.code === status.PERMISSION_DENIED);
    const invented = asked.stream("0".repeat(32));
    await eventually("an invented id is refused", () => invented.error?.code === status.NOT_FOUND);
    asked.stream(streamId).send({ $case: "exit", value: { reason: "", message: "" } });
    (await opening).close();
  });

  test("the agent's refusal, its silence, its absence and its loss are told apart", async () => {
    const clock = new ManualClock(Date.now());
    await using nodes = await plane.serve({ clock, settings: { streamTimeoutMs: 5_000 } });
    const name = fresh("node");
    const open = () => nodes.server.open(name, request, never);
    await assert.rejects(open(), { reason: "ServiceUnavailable", message: `node "${name}" is not connected: its agent has no session` });

    const agent = await nodes.agent(name);
    const session = await agent.join(name);
    const refused = open();
    const { streamId } = await session.received("openStream");
    session.send({ $case: "streamRefused", value: { streamId, reason: "NotFound", message: "no such container" } });
    await assert.rejects(refused, { reason: "NotFound", message: "no such container" });

    const unanswered = open();
    await eventually("the timer runs", () => clock.pending.includes(5_000));
    clock.advance(5_000);
    await assert.rejects(unanswered, { reason: "Timeout" });

    const cut = open();
    session.cut();
    await assert.rejects(cut, { reason: "ServiceUnavailable", message: `the connection to node "${name}" is lost` });
  });

  test("an agent that has just gone is waited for until its node is lost", async () => {
    const clock = new ManualClock(Date.now());
    await using nodes = await plane.serve({ clock, settings: { sessionGraceMs: 7_000 } });
    const name = fresh("node");
    const agent = await nodes.agent(name);
    (await agent.join(name)).cut();
    await eventually("its session is over", () => !nodes.server.isConnected(name));
    const opening = nodes.server.open(name, request, never);
    const session = await agent.join(name);
    agent.stream((await session.received("openStream")).streamId);
    (await opening).close();

    session.cut();
    await eventually("its session is over again", () => !nodes.server.isConnected(name));
    const tired = new AbortController();
    const givenUp = nodes.server.open(name, request, tired.signal);
    tired.abort();
    await assert.rejects(givenUp, { name: "AbortError" });
    const gone = { reason: "ServiceUnavailable", message: `node "${name}" is not connected: its agent has no session` };
    const vain = assert.rejects(nodes.server.open(name, request, never), gone);
    await eventually("health and the stream wait", () => clock.pending.filter((ms) => ms === 7_000).length >= 2);
    clock.advance(7_000);
    await vain;
    await assert.rejects(nodes.server.open(name, request, never), gone, "at once");
  });

  test("a connection that is lost in the middle is no end", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const agent = await nodes.agent(name);
    const session = await agent.join(name);
    const opening = nodes.server.open(name, request, never);
    const dialled = agent.stream((await session.received("openStream")).streamId);
    const stream = await opening;
    dialled.send({ $case: "stdout", value: Buffer.from("half") });
    const seen: string[] = [];
    await assert.rejects(
      async () => {
        for await (const { frame } of stream.frames) {
          seen.push(frame?.$case ?? "");
          dialled.call.cancel();
        }
      },
      { reason: "ServiceUnavailable", message: `the connection to node "${name}" is lost` },
    );
    assert.deepEqual(seen, ["stdout"]);
    await assert.rejects(stream.send({ frame: { $case: "stdin", value: Buffer.from("x") } }), { reason: "ServiceUnavailable" });
  });

  test("who no longer waits is not waited for", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const agent = await nodes.agent(name);
    const session = await agent.join(name);
    const stop = new AbortController();
    const opening = nodes.server.open(name, request, stop.signal);
    const { streamId } = await session.received("openStream");
    stop.abort();
    await assert.rejects(opening, { name: "AbortError" });
    const late = agent.stream(streamId);
    await eventually("the late call is refused", () => late.error?.code === status.NOT_FOUND);
  });
});
