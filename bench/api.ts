/** What the API does a second; the load comes from a process of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { withCluster } from "./dev-cluster.ts";
import type { Figure } from "./figure.ts";

export async function benchApi(print: (figure: Figure) => void): Promise<void> {
  await withCluster(1, async ({ kubeconfig }) => {
    const child = spawn(process.execPath, [join(import.meta.dirname, "api-load.ts"), kubeconfig], { stdio: ["ignore", "pipe", "inherit"] });
    const [output, [code]] = await Promise.all([text(child.stdout), once(child, "close")]);
    if (code !== 0) throw new Error(`the load generator ended with ${code}`);
    for (const figure of JSON.parse(output) as Figure[]) print(figure);
  });
}
