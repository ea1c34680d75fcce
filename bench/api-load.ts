/** Load on the API, in a process of its own: prints a list of figures as JSON. Run by api.ts with the path of a kubeconfig. */
import { ApiClient, readAccess } from "./api-client.ts";
import { type Figure, summarize } from "./figure.ts";
import { RawConnection } from "./raw-connection.ts";

const IN_FLIGHT = 64;
const OBJECTS = 5000;
const GETS = 10_000;
/** Completions between two readings of the clock. */
const STRIDE = 500;
const LISTS = 20;
const WATCHERS = 50;
const WATCHED_UPDATES = 500;
const WATCH_ROUNDS = 5;

const [kubeconfig = ""] = process.argv.slice(2);
const objects = "/api/v1/namespaces/default/configmaps";
const nameOf = (i: number) => `bench-${i}`;
/** One KB in all, as JSON. */
const manifest = (i: number, version: number) =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: nameOf(i) },
    data: { version: String(version), text: "x".repeat(870) },
  });

const access = readAccess(kubeconfig);
const connections = await Promise.all(Array.from({ length: IN_FLIGHT }, async () => await RawConnection.open(access)));
const api = new ApiClient(kubeconfig);
const figures: Figure[] = [];

/** Keeps all connections busy until `count` calls are done. Returns calls per second by stride, and the milliseconds of each call. */
async function load(count: number, call: (connection: RawConnection, i: number) => Promise<unknown>) {
  const rates: number[] = [];
  const latencies: number[] = [];
  let next = 0;
  let strideMs = performance.now();
  await Promise.all(
    connections.map(async (connection) => {
      for (let i = next++; i < count; i = next++) {
        const startedMs = performance.now();
        await call(connection, i);
        const nowMs = performance.now();
        latencies.push(nowMs - startedMs);
        if (latencies.length % STRIDE !== 0) continue;
        rates.push((STRIDE * 1000) / (nowMs - strideMs));
        strideMs = nowMs;
      }
    }),
  );
  return { rates, latencies };
}

async function measure(what: string, count: number, call: (connection: RawConnection, i: number) => Promise<unknown>): Promise<void> {
  const { rates, latencies } = await load(count, call);
  figures.push(summarize(`API, objects of 1 KB, ${IN_FLIGHT} in flight: ${what}`, "/s", rates));
  figures.push(summarize(`API, objects of 1 KB, ${IN_FLIGHT} in flight: ${what}, each`, "ms", latencies));
}

await measure("create", OBJECTS, (connection, i) => connection.request("POST", objects, manifest(i, 0)));
await measure("get", GETS, (connection, i) => connection.request("GET", `${objects}/${nameOf(i % OBJECTS)}`));
await measure("update", OBJECTS, (connection, i) => connection.request("PUT", `${objects}/${nameOf(i)}`, manifest(i, 1)));

for (const [what, query] of [
  ["from the watch cache", "?resourceVersion=0"],
  ["consistent", ""],
] as const) {
  const times: number[] = [];
  for (let i = -3; i < LISTS; i++) {
    const startedMs = performance.now();
    await api.download(`${objects}${query}`);
    if (i >= 0) times.push(performance.now() - startedMs);
  }
  figures.push(summarize(`list of ${OBJECTS} objects of 1 KB, ${what}`, "ms", times));
}

{
  const { metadata } = (await api.request("GET", `${objects}?limit=1`)) as { metadata: { resourceVersion: string } };
  let left = Number.POSITIVE_INFINITY;
  let seenAll = () => {};
  const ends = await Promise.all(
    Array.from({ length: WATCHERS }, async () => {
      const watcher = new ApiClient(kubeconfig);
      const end = await watcher.watchLines(`${objects}?watch=1&resourceVersion=${metadata.resourceVersion}`, (lines) => {
        left -= lines;
        if (left <= 0) seenAll();
      });
      return () => {
        end();
        watcher.close();
      };
    }),
  );
  const rates: number[] = [];
  for (let round = -1; round < WATCH_ROUNDS; round++) {
    const { promise, resolve } = Promise.withResolvers<void>();
    seenAll = resolve;
    left = WATCHERS * WATCHED_UPDATES;
    // An update that changes nothing is no event.
    const version = round + 3;
    const startedMs = performance.now();
    await load(WATCHED_UPDATES, (connection, i) => connection.request("PUT", `${objects}/${nameOf(i)}`, manifest(i, version)));
    await promise;
    if (round >= 0) rates.push((WATCHERS * WATCHED_UPDATES * 1000) / (performance.now() - startedMs));
  }
  for (const end of ends) end();
  figures.push(summarize(`${WATCHERS} watchers, ${WATCHED_UPDATES} updates, to the last event at the last watcher`, "events/s", rates));
}

for (const connection of connections) connection.close();
api.close();
console.log(JSON.stringify(figures));
