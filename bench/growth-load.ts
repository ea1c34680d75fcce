/**
 * The API's rate by concurrency and the time of a list by its length, in a process of its own: prints the series as JSON. Run by growth.ts. The best of
 * several each: what a curve is to show is what it depends on, not what else the machine did.
 */
import { ApiClient, readAccess } from "./api-client.ts";
import type { Series } from "./growth.ts";
import { load, manifest, nameOf, objects } from "./load.ts";
import { RawConnection } from "./raw-connection.ts";

const CONCURRENCY = [1, 2, 4, 8, 16, 32, 64, 128];
const OBJECTS = [500, 1000, 2000, 5000, 10_000];
const LISTS = 15;
const WARM_UP = 4000;
const STRIDE = 250;

const [kubeconfig = ""] = process.argv.slice(2);
const access = readAccess(kubeconfig);
const connections = await Promise.all(Array.from({ length: Math.max(...CONCURRENCY) }, () => RawConnection.open(access)));
let version = 1;
const calls = {
  get: (connection: RawConnection, i: number) => connection.request("GET", `${objects}/${nameOf(i % WARM_UP)}`),
  update: (connection: RawConnection, i: number) =>
    connection.request("PUT", `${objects}/${nameOf(i % WARM_UP)}`, manifest(i % WARM_UP, ++version)),
};
await load(connections, STRIDE, WARM_UP, (connection, i) => connection.request("POST", objects, manifest(i, 0)));
for (const call of Object.values(calls)) await load(connections, STRIDE, WARM_UP, call);

const series: Series[] = [];
for (const [name, call] of Object.entries(calls)) {
  const points: [number, number][] = [];
  for (const concurrency of CONCURRENCY) {
    const { rates } = await load(connections.slice(0, concurrency), STRIDE, concurrency < 8 ? 1500 : 4000, call);
    points.push([concurrency, Math.round(Math.max(...rates))]);
  }
  series.push({ chart: "api-rate", name, points });
}

const api = new ApiClient(kubeconfig);
const times: { readonly [name: string]: [number, number][] } = { "from the watch cache": [], consistent: [] };
for (const wanted of OBJECTS) {
  const namespace = `list-${wanted}`;
  await api.request("POST", "/api/v1/namespaces", { metadata: { name: namespace } });
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  await load(connections, STRIDE, wanted, (connection, i) => connection.request("POST", path, manifest(i, 0)));
  for (const [name, query] of [
    ["from the watch cache", "?resourceVersion=0"],
    ["consistent", ""],
  ] as const) {
    const samples: number[] = [];
    for (let i = -3; i < LISTS; i++) {
      const startedMs = performance.now();
      await api.download(`${path}${query}`);
      if (i >= 0) samples.push(performance.now() - startedMs);
    }
    times[name]?.push([wanted, Math.round(Math.min(...samples) * 10) / 10]);
  }
}
for (const [name, points] of Object.entries(times)) series.push({ chart: "list-time", name, points });

for (const connection of connections) connection.close();
api.close();
console.log(JSON.stringify(series));
