/** Pod creation to Running and deletion to gone, as a watch sees them; image present, one after another. */
import { withCluster } from "./dev-cluster.ts";
import { type Figure, summarize } from "./figure.ts";
import { createPod, deletePod, PodWatch } from "./pods.ts";

export async function benchPodStart(print: (figure: Figure) => void, count = 100): Promise<void> {
  await withCluster(1, async ({ api }) => {
    const watch = await PodWatch.open(api);
    const starts: number[] = [];
    const ends: number[] = [];
    for (let i = -5; i < count; i++) {
      const name = `bench-${i + 5}`;
      const running = watch.reaches(name, "Running");
      const startedMs = performance.now();
      await createPod(api, name);
      const runningMs = await running;
      const gone = watch.reaches(name, "gone");
      const deletedMs = performance.now();
      await deletePod(api, name);
      const goneMs = await gone;
      // The first ones warm the caches up.
      if (i < 0) continue;
      starts.push(runningMs - startedMs);
      ends.push(goneMs - deletedMs);
    }
    watch.close();
    print(summarize("pod created to Running", "ms", starts));
    print(summarize("pod deleted to gone, container ends at TERM", "ms", ends));
  });
}
