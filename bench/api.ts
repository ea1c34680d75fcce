/** What the API does a second; the load comes from a process of its own. */
import { withCluster } from "./dev-cluster.ts";
import type { Figure } from "./figure.ts";
import { runLoad } from "./run-load.ts";

export async function benchApi(print: (figure: Figure) => void): Promise<void> {
  await withCluster(1, async ({ kubeconfig, pids }) => {
    const running = await pids();
    const servers = ["controlplane", "etcd"].map((part) => String(running.get(part)));
    for (const figure of (await runLoad("api-load.ts", [kubeconfig, ...servers])) as Figure[]) print(figure);
  });
}
