import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Event, TesseraError } from "@tessera/proto";
import { pino } from "pino";
import { startTestNats, type TestNats } from "../embedded/testing.ts";
import { TcpProxy } from "../store/tcp-proxy.testing.ts";
import type { EventRecord, EventSource } from "./events.ts";
import { NatsEvents, type NatsEventsDependencies } from "./nats-events.ts";
import { type NatsLink, openNats } from "./nats-link.ts";

const log = pino({ level: "silent" });
const startMs = Date.parse("2026-11-21T10:00:00Z");

function happened(name: string, reason: string, more: Partial<EventRecord> & { namespace?: string; kind?: string } = {}): EventRecord {
  const { namespace = "default", kind = "Pod", ...rest } = more;
  return {
    involved: { kind, apiVersion: "v1", namespace, name, uid: `uid-${name}` },
    type: "Normal",
    reason,
    message: `${reason} ${name}`,
    source: { component: "tessera-agent", host: "node-1" },
    timeMs: startMs,
    ...rest,
  };
}

function runEvents(
  nats: NatsLink,
  options: Partial<NatsEventsDependencies> = {},
): { events: NatsEvents; stop(): Promise<void> } & AsyncDisposable {
  const events = new NatsEvents({ nats, log, ...options });
  const stopping = new AbortController();
  const running = events.run(stopping.signal);
  const stop = async (): Promise<void> => {
    stopping.abort();
    await running;
  };
  return { events, stop, [Symbol.asyncDispose]: stop };
}

const summary = (event: Event): string => `${event.involvedObject?.name} ${event.reason} ${event.count}`;

/** Lists again until the list is as expected, with a deadline. */
async function listed(events: EventSource, namespace: string, expected: readonly string[]): Promise<readonly Event[]> {
  for (const deadline = Date.now() + 30_000; ; ) {
    const { items } = await events.list(namespace).catch(() => ({ items: [] as Event[] }));
    if (JSON.stringify(items.map(summary)) === JSON.stringify(expected)) return items;
    if (Date.now() > deadline) assert.deepEqual(items.map(summary), expected);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function watched(events: EventSource, namespace: string, from: string, count: number): Promise<string[]> {
  const seen: string[] = [];
  for await (const { type, object } of events.watch(namespace, from, AbortSignal.timeout(30_000))) {
    seen.push(`${type} ${summary(object)}`);
    if (seen.length === count) break;
  }
  return seen;
}

describe("NatsEvents", () => {
  let nats: TestNats;
  let link: NatsLink;
  let tests = 0;
  let namespace = "";

  before(async () => {
    nats = await startTestNats();
    link = openNats({ url: nats.url, name: "test", log });
  });

  after(async () => {
    await link.close();
    await nats[Symbol.asyncDispose]();
  });

  /** Every test has a namespace of its own in the one stream. */
  const isolated = (name: string, run: () => Promise<void>): void => {
    test(name, async () => {
      namespace = `ns-${++tests}`;
      await run();
    });
  };

  isolated("an event becomes an Event object as kubectl expects it", async () => {
    await using running = runEvents(link);
    const { events } = running;
    events.record(happened("web", "Scheduled", { namespace, type: "Warning", timeMs: startMs + 1_234 }));
    const [event] = await listed(events, namespace, ["web Scheduled 1"]);
    const { name, uid, resourceVersion, ...metadata } = event?.metadata ?? {};
    assert.match(name ?? "", /^web\.[0-9a-f]{16}$/);
    assert.match(uid ?? "", /^[0-9a-f-]{36}$/);
    assert.ok(Number(resourceVersion) > 0);
    assert.deepEqual(metadata, { namespace, creationTimestamp: "2026-11-21T10:00:01Z" });
    assert.deepEqual(
      { ...event, metadata: {} },
      {
        apiVersion: "v1",
        kind: "Event",
        metadata: {},
        involvedObject: { kind: "Pod", apiVersion: "v1", namespace, name: "web", uid: "uid-web" },
        reason: "Scheduled",
        message: "Scheduled web",
        type: "Warning",
        source: { component: "tessera-agent", host: "node-1" },
        reportingComponent: "tessera-agent",
        reportingInstance: "node-1",
        firstTimestamp: "2026-11-21T10:00:01Z",
        lastTimestamp: "2026-11-21T10:00:01Z",
        count: 1,
      },
    );
  });

  isolated("what happens again is one Event with its count, first and last time", async () => {
    await using running = runEvents(link);
    const { events } = running;
    for (let i = 0; i < 5; i++) {
      events.record(happened("web", "BackOff", { namespace, timeMs: startMs + i * 10_000 }));
      await listed(events, namespace, [`web BackOff ${i + 1}`]);
    }
    for (let i = 5; i < 100; i++) events.record(happened("web", "BackOff", { namespace, timeMs: startMs + i * 10_000 }));
    const [event] = await listed(events, namespace, ["web BackOff 100"]);
    assert.equal(event?.firstTimestamp, "2026-11-21T10:00:00Z");
    assert.equal(event?.lastTimestamp, "2026-11-21T10:16:30Z");
  });

  isolated("a later control plane counts on", async () => {
    await using first = runEvents(link);
    first.events.record(happened("web", "BackOff", { namespace }));
    const [before] = await listed(first.events, namespace, ["web BackOff 1"]);
    await first.stop();
    await using second = runEvents(link);
    second.events.record(happened("web", "BackOff", { namespace }));
    first.events.record(happened("web", "BackOff", { namespace }));
    const [again] = await listed(second.events, namespace, ["web BackOff 2"]);
    assert.equal(again?.metadata?.name, before?.metadata?.name);
    assert.equal(again?.metadata?.uid, before?.metadata?.uid);
  });

  isolated("two control planes that tell of the same thing count it twice", async () => {
    await using one = runEvents(link);
    await using other = runEvents(link);
    for (let i = 0; i < 20; i++)
      for (const { events } of [one, other]) events.record(happened("web", "Unhealthy", { namespace, timeMs: startMs + i }));
    await listed(one.events, namespace, ["web Unhealthy 40"]);
  });

  isolated("another message, object or source is another Event, in the order in which they happened", async () => {
    await using running = runEvents(link);
    const { events } = running;
    events.record(happened("web", "Pulled", { namespace, message: "image a" }));
    events.record(happened("web", "Pulled", { namespace, message: "image b" }));
    events.record(happened("web", "Pulled", { namespace, message: "image b", source: { component: "tessera-agent", host: "node-2" } }));
    events.record(happened("api", "Pulled", { namespace }));
    await listed(events, namespace, ["web Pulled 1", "web Pulled 1", "web Pulled 1", "api Pulled 1"]);
  });

  isolated("a list is narrowed to a namespace, and to an object", async () => {
    await using running = runEvents(link);
    const { events } = running;
    const odd = "web.v1 *>ü";
    events.record(happened(odd, "Started", { namespace }));
    events.record(happened("web", "Started", { namespace }));
    events.record(happened("web", "Started", { namespace, kind: "ReplicaSet" }));
    events.record(happened("web", "Started", { namespace: `${namespace}-other` }));
    events.record(happened("node-1", "Ready", { namespace: "", kind: "Node" }));
    await listed(events, namespace, [`${odd} Started 1`, "web Started 1", "web Started 1"]);
    const narrowed = async (involved: { kind?: string; name?: string }, where = namespace): Promise<number> =>
      (await events.list(where, involved)).items.length;
    assert.equal(await narrowed({ name: odd }), 1);
    assert.equal(await narrowed({ name: "web" }), 2);
    assert.equal(await narrowed({ kind: "Pod", name: "web" }), 1);
    assert.equal(
      await narrowed({ kind: "Pod", name: "web" }, ""),
      (await events.list("")).items.filter((e) => e.involvedObject?.kind === "Pod" && e.involvedObject.name === "web").length,
    );
    const [node] = (await events.list("default", { kind: "Node", name: "node-1" })).items;
    assert.equal(node?.metadata?.namespace, "default");
  });

  isolated("a watch tells what comes after the list", async () => {
    await using running = runEvents(link);
    const { events } = running;
    events.record(happened("web", "Scheduled", { namespace }));
    await listed(events, namespace, ["web Scheduled 1"]);
    const { resourceVersion } = await events.list(namespace);
    const watching = watched(events, namespace, resourceVersion, 3);
    events.record(happened("elsewhere", "Scheduled", { namespace: `${namespace}-other` }));
    events.record(happened("web", "Started", { namespace }));
    await listed(events, namespace, ["web Scheduled 1", "web Started 1"]);
    events.record(happened("web", "Scheduled", { namespace }));
    await listed(events, namespace, ["web Started 1", "web Scheduled 2"]);
    events.record(happened("web", "Killing", { namespace }));
    assert.deepEqual(await watching, ["ADDED web Started 1", "MODIFIED web Scheduled 2", "ADDED web Killing 1"]);
    assert.deepEqual(await watched(events, namespace, "0", 3), ["ADDED web Started 1", "MODIFIED web Scheduled 2", "ADDED web Killing 1"]);
  });

  isolated("a watch from a version that the stream never had is Expired", async () => {
    await using running = runEvents(link);
    const watching = watched(running.events, namespace, "999999999", 1);
    await assert.rejects(watching, (error: unknown) => error instanceof TesseraError && error.reason === "Expired");
    await assert.rejects(
      watched(running.events, namespace, "abc", 1),
      (error: unknown) => error instanceof TesseraError && error.reason === "BadRequest",
    );
  });

  isolated("an aborted watch ends without an error", async () => {
    await using running = runEvents(link);
    const stop = new AbortController();
    const watching = (async () => {
      for await (const { object } of running.events.watch(namespace, "0", stop.signal)) assert.fail(summary(object));
    })();
    await running.events.list(namespace);
    stop.abort();
    await watching;
  });

  isolated("many events are listed quickly and completely", async () => {
    await using running = runEvents(link);
    const { events } = running;
    const expected = Array.from({ length: 3_000 }, (_, i) => `pod-${i} Started 1`);
    for (let i = 0; i < 3_000; i++) events.record(happened(`pod-${i}`, "Started", { namespace, message: "x".repeat(500) }));
    await listed(events, namespace, expected);
  });
});

describe("NatsEvents and a NATS that dies", () => {
  test("events told while NATS is away are stored when it is back, in order; the watch goes on", async () => {
    await using nats = await startTestNats();
    const link = openNats({ url: nats.url, name: "test", log });
    await using running = runEvents(link);
    const { events } = running;
    events.record(happened("before", "Started"));
    await listed(events, "default", ["before Started 1"]);
    const watching = watched(events, "default", "0", 21);
    for (let round = 0; round < 2; round++) {
      await nats.kill();
      for (let i = 0; i < 10; i++) events.record(happened(`away-${round}-${i}`, "Started"));
      await assert.rejects(
        events.list("default"),
        (error: unknown) => error instanceof TesseraError && error.reason === "ServiceUnavailable",
      );
      await nats.restart();
      await listed(
        events,
        "default",
        ["before Started 1", ...names(round + 1)].map((name) => name),
      );
    }
    assert.deepEqual(
      await watching,
      ["before Started 1", ...names(2)].map((name) => `ADDED ${name}`),
    );
    await link.close();

    function names(rounds: number): string[] {
      return Array.from({ length: rounds * 10 }, (_, i) => `away-${Math.floor(i / 10)}-${i % 10} Started 1`);
    }
  });

  test("killed in the midst of events, NATS ends with each counted exactly", async () => {
    await using nats = await startTestNats();
    const link = openNats({ url: nats.url, name: "test", log });
    await using running = runEvents(link);
    const { events } = running;
    let told = 0;
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 300; i++) {
        events.record(happened(`pod-${i}`, "BackOff"));
        if (i === 150) await nats.kill();
      }
      told++;
      await nats.restart();
    }
    for (const deadline = Date.now() + 30_000; ; ) {
      const { items } = await events.list("default").catch(() => ({ items: [] as Event[] }));
      const counts = new Map(items.map((event) => [event.involvedObject?.name, event.count]));
      if (counts.size === 300 && [...counts.values()].every((count) => count === told)) break;
      assert.ok(Date.now() < deadline, `counts: ${[...counts].filter(([, count]) => count !== told).join("; ")}, ${counts.size} pods`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await link.close();
  });

  test("an event whose answer is lost counts once, and those folded into it meanwhile count too", async () => {
    await using nats = await startTestNats();
    await using proxy = await TcpProxy.to(nats.url);
    const link = openNats({ url: proxy.url, name: "test", log });
    const direct = openNats({ url: nats.url, name: "direct", log });
    await using running = runEvents(link);
    await using reader = runEvents(direct);
    running.events.record(happened("new", "BackOff"));
    running.events.record(happened("known", "BackOff"));
    await listed(reader.events, "default", ["new BackOff 1", "known BackOff 1"]);
    for (const expected of [
      ["known BackOff 3", "new BackOff 3"],
      ["known BackOff 5", "new BackOff 5"],
    ]) {
      proxy.dropAnswers();
      running.events.record(happened("known", "BackOff"));
      running.events.record(happened("new", "BackOff"));
      await proxy.droppedAnswer();
      running.events.record(happened("known", "BackOff"));
      running.events.record(happened("new", "BackOff"));
      proxy.cut();
      await listed(reader.events, "default", expected);
    }
    await link.close();
    await direct.close();
  });

  test("a NATS that lost its data gets a new stream, and watchers of the old one are told to list again", async () => {
    await using nats = await startTestNats();
    const link = openNats({ url: nats.url, name: "test", log });
    await using running = runEvents(link);
    const { events } = running;
    for (let i = 0; i < 5; i++) events.record(happened(`pod-${i}`, "Started"));
    await listed(
      events,
      "default",
      Array.from({ length: 5 }, (_, i) => `pod-${i} Started 1`),
    );
    const watching = assert.rejects(
      watched(events, "default", "5", 1),
      (error: unknown) => error instanceof TesseraError && error.reason === "Expired",
    );
    await nats.kill();
    await nats.wipe();
    await nats.restart();
    events.record(happened("pod-0", "Started"));
    await listed(events, "default", ["pod-0 Started 1"]);
    await watching;
    await link.close();
  });

  test("events are told before NATS was ever there, and the queue is bounded", async () => {
    await using nats = await startTestNats();
    await nats.kill();
    const lines: { dropped?: number }[] = [];
    const listening = pino({ level: "error" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    const link = openNats({ url: nats.url, name: "test", log });
    await using running = runEvents(link, { queueLimit: 3, log: listening });
    const { events } = running;
    for (let i = 0; i < 8; i++) events.record(happened(`pod-${i}`, "Started"));
    events.record(happened("pod-1", "Started"));
    await nats.restart();
    const { items } = await (async () => {
      for (;;) {
        const list = await events.list("default").catch(() => undefined);
        if (list !== undefined && list.items.length >= 3) return list;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    assert.deepEqual(items.map(summary).slice(0, 1), ["pod-0 Started 1"]);
    assert.ok(items.length <= 4);
    assert.equal(
      lines.reduce((sum, line) => sum + (line.dropped ?? 0), 0),
      8 - items.length,
    );
    await link.close();
  });
});
