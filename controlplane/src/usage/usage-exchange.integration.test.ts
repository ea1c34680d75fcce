import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, silentLog } from "../controllers/testing/fakes.ts";
import { startTestNats, type TestNats } from "../embedded/testing.ts";
import { openNats } from "../events/nats-link.ts";
import { container, report, usage } from "./testing/reports.ts";
import { UsageExchange } from "./usage-exchange.ts";
import { UsageStore } from "./usage-store.ts";

describe("usage between control planes", () => {
  let nats: TestNats;
  before(async () => {
    nats = await startTestNats();
  });
  after(() => nats[Symbol.asyncDispose]());

  /** One control plane's part in it. */
  function startReplica(url = nats.url) {
    const store = new UsageStore({ now: Date.now });
    const link = openNats({ url, name: "test", log: silentLog });
    const exchange = new UsageExchange({ nats: link, store, log: silentLog });
    const stop = new AbortController();
    const running = exchange.run(stop.signal);
    const close = async () => {
      stop.abort();
      await running;
      await link.close();
    };
    return { store, link, exchange, [Symbol.asyncDispose]: close };
  }

  /** Says it again until it is heard: what is sent before a subscription is made is lost, as it may be. */
  async function tellUntilKnown(teller: UsageExchange, hearer: UsageStore, node: string): Promise<void> {
    let uptime = 10;
    await eventually(`${node} is known`, () => {
      teller.report(node, report(usage(uptime, uptime / 2), { a: [container("web", usage(uptime, uptime / 4))] }));
      uptime += 10;
      return hearer.ofNode(node) !== undefined;
    });
  }

  test("what one hears of a node all know", async () => {
    await using one = startReplica();
    await using two = startReplica();
    const node = "node-1.example.com";
    await tellUntilKnown(one.exchange, two.store, node);
    for (const { store } of [one, two]) {
      assert.equal(store.ofNode(node)?.nanoCores, 500_000_000n);
      assert.deepEqual(
        store.ofPod(node, "a")?.map(({ name, nanoCores }) => [name, nanoCores]),
        [["web", 250_000_000n]],
      );
    }
  });

  test("nobody hears his own words twice", async () => {
    await using one = startReplica();
    await using two = startReplica();
    await tellUntilKnown(two.exchange, one.store, "warm-up");
    const taken: string[] = [];
    one.store.take = (node) => void taken.push(node);
    one.exchange.report("mine", report(usage(1, 1)));
    // Behind it on the same connection, and back again: by then its own would have come.
    await (await one.link.connection(AbortSignal.timeout(30_000))).flush();
    two.exchange.report("theirs", report(usage(1, 1)));
    await eventually("the other's is heard", () => taken.includes("theirs"));
    assert.deepEqual(
      taken.filter((node) => node !== "warm-up"),
      ["mine", "theirs"],
    );
  });

  test("while NATS is away each knows its own nodes, and afterwards all of them again", async () => {
    await using one = startReplica();
    await using two = startReplica();
    await tellUntilKnown(one.exchange, two.store, "before");
    await nats.kill();
    await eventually("the loss is noticed", () => !one.link.connected && !two.link.connected);
    await tellUntilKnown(one.exchange, one.store, "during");
    await nats.restart();
    await eventually("both are back", () => one.link.connected && two.link.connected, 15_000);
    await tellUntilKnown(one.exchange, two.store, "after");
    assert.equal(two.store.ofNode("during"), undefined);
  });

  test("stops without NATS too", async () => {
    await using one = startReplica("nats://127.0.0.1:1");
    await tellUntilKnown(one.exchange, one.store, "alone");
  });
});
