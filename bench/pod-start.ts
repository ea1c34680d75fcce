/** Pod creation to Running and deletion to gone, as a watch sees them; image present, one after another. */
import { withCluster } from "./dev-cluster.ts";
import { type Figure, summarize } from "./figure.ts";

const pods = "/api/v1/namespaces/default/pods";

export async function benchPodStart(print: (figure: Figure) => void, count = 100): Promise<void> {
  await withCluster(1, async (api) => {
    const waiting = new Map<string, (atMs: number) => void>();
    const end = await api.watch(`${pods}?watch=1`, ({ type, object }, atMs) => {
      const state = type === "DELETED" ? "gone" : (object.status?.phase ?? "");
      waiting.get(`${object.metadata.name} ${state}`)?.(atMs);
    });
    const reaches = (name: string, state: string) => new Promise<number>((resolve) => waiting.set(`${name} ${state}`, resolve));
    const starts: number[] = [];
    const ends: number[] = [];
    for (let i = -5; i < count; i++) {
      const name = `bench-${i + 5}`;
      const running = reaches(name, "Running");
      const startedMs = performance.now();
      await api.request("POST", pods, sleeper(name));
      const runningMs = await running;
      const gone = reaches(name, "gone");
      const deletedMs = performance.now();
      await api.request("DELETE", `${pods}/${name}`, { kind: "DeleteOptions", apiVersion: "v1", gracePeriodSeconds: 1 });
      const goneMs = await gone;
      // The first ones warm the caches up.
      if (i < 0) continue;
      starts.push(runningMs - startedMs);
      ends.push(goneMs - deletedMs);
    }
    end();
    print(summarize("pod created to Running", "ms", starts));
    print(summarize("pod deleted to gone, container ends at TERM", "ms", ends));
  });
}

function sleeper(name: string): object {
  const container = {
    name: "main",
    image: "tessera.local/busybox:1",
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"],
  };
  return { apiVersion: "v1", kind: "Pod", metadata: { name }, spec: { containers: [container] } };
}
