/** Calls on the API by connections that always have one under way. */
import type { RawConnection } from "./raw-connection.ts";

export const objects = "/api/v1/namespaces/default/configmaps";

export const nameOf = (i: number, kind = "bench") => `${kind}-${i}`;

/** A ConfigMap of one KB in all, as JSON. */
export function manifest(i: number, version: number, kind?: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: nameOf(i, kind) },
    data: { version: String(version), text: "x".repeat(870) },
  });
}

export interface Load {
  /** Calls per second, by every so many that were completed. */
  readonly rates: readonly number[];
  /** How long each call took, in milliseconds. */
  readonly latencies: readonly number[];
}

/** Keeps all connections busy until `count` calls are done. The clock is read after every `stride` of them. */
export async function load(
  connections: readonly RawConnection[],
  stride: number,
  count: number,
  call: (connection: RawConnection, i: number) => Promise<unknown>,
): Promise<Load> {
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
        if (latencies.length % stride !== 0) continue;
        rates.push((stride * 1000) / (nowMs - strideMs));
        strideMs = nowMs;
      }
    }),
  );
  return { rates, latencies };
}
