/**
 * Load on the API, in a process of its own: prints a list of figures as JSON. Run by api.ts with the path of a kubeconfig and the pids of control plane
 * and etcd.
 */
import { ApiClient, readAccess } from "./api-client.ts";
import { type Figure, summarize } from "./figure.ts";
import { load, manifest, nameOf, objects } from "./load.ts";
import { processCpuMs } from "./process-usage.ts";
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

/** Of each call: the server's code is compiled while it runs, and twice as slow before. */
const WARM_UP = 4000;

const [kubeconfig = "", planePid = "", etcdPid = ""] = process.argv.slice(2);
const access = readAccess(kubeconfig);
const connections = await Promise.all(Array.from({ length: IN_FLIGHT }, async () => await RawConnection.open(access)));
const api = new ApiClient(kubeconfig);
const figures: Figure[] = [];

/** CPU time of control plane, etcd and this process so far. */
const cpuMs = () => [Number(planePid), Number(etcdPid), process.pid].map(processCpuMs);

async function measure(what: string, count: number, call: (connection: RawConnection, i: number) => Promise<unknown>): Promise<void> {
  const before = cpuMs();
  const { rates, latencies } = await load(connections, STRIDE, count, call);
  const after = cpuMs();
  const title = `API, objects of 1 KB, ${IN_FLIGHT} in flight: ${what}`;
  figures.push(summarize(title, "/s", rates), summarize(`${title}, each`, "ms", latencies));
  for (const [i, part] of ["control plane", "etcd", "load generator"].entries()) {
    const usedMs = (after[i] ?? 0) - (before[i] ?? 0);
    figures.push(summarize(`${title}, CPU of the ${part} for 1,000`, "ms", [(usedMs * 1000) / count]));
  }
}

await load(connections, STRIDE, WARM_UP, (connection, i) => connection.request("POST", objects, manifest(i, 0, "warm")));
await load(connections, STRIDE, WARM_UP, (connection, i) =>
  connection.request("PUT", `${objects}/${nameOf(i, "warm")}`, manifest(i, 1, "warm")),
);
await load(connections, STRIDE, WARM_UP, (connection, i) => connection.request("GET", `${objects}/${nameOf(i, "warm")}`));
await load(connections, STRIDE, WARM_UP, (connection, i) => connection.request("DELETE", `${objects}/${nameOf(i, "warm")}`));
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
    await load(connections, STRIDE, WATCHED_UPDATES, (connection, i) =>
      connection.request("PUT", `${objects}/${nameOf(i)}`, manifest(i, version)),
    );
    await promise;
    if (round >= 0) rates.push((WATCHERS * WATCHED_UPDATES * 1000) / (performance.now() - startedMs));
  }
  for (const end of ends) end();
  figures.push(summarize(`${WATCHERS} watchers, ${WATCHED_UPDATES} updates, to the last event at the last watcher`, "events/s", rates));
}

for (const connection of connections) connection.close();
api.close();
console.log(JSON.stringify(figures));
