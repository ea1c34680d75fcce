import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { ApiClient } from "./api-client.ts";

const root = resolve(import.meta.dirname, "..");
const execute = promisify(execFile);

/** Runs `body` against a development cluster of its own, with the example image loaded, and removes it. */
export async function withCluster(nodes: number, body: (api: ApiClient) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "tessera-bench-"));
  const kubeconfig = join(folder, "kubeconfig");
  const tsctl = (...args: string[]) => execute(join(root, "tsctl/bin/tsctl"), args, { env: { ...process.env, KUBECONFIG: kubeconfig } });
  await tsctl("dev", "up", "--name", "bench", "--nodes", String(nodes));
  try {
    await tsctl("image", "load", join(root, "dist/busybox.tar"));
    const api = new ApiClient(kubeconfig);
    try {
      await body(api);
    } finally {
      api.close();
    }
  } finally {
    await tsctl("dev", "down", "--name", "bench");
    await rm(folder, { recursive: true, force: true });
  }
}
