import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { ApiClient } from "./api-client.ts";

const root = resolve(import.meta.dirname, "..");
const execute = promisify(execFile);

/** A running development cluster. */
export interface BenchCluster {
  readonly api: ApiClient;
  readonly kubeconfig: string;
  /** Process ids by the names of `tsctl dev status`: "controlplane", "etcd", "nats-server", "node-1", "node-1 agent". */
  pids(): Promise<Map<string, number>>;
}

/** Runs `body` against a development cluster of its own, with the example image loaded, and removes it. */
export async function withCluster(nodes: number, body: (cluster: BenchCluster) => Promise<void>): Promise<void> {
  const name = `bench-${process.pid}`;
  const folder = await mkdtemp(join(tmpdir(), "tessera-bench-"));
  const kubeconfig = join(folder, "kubeconfig");
  const tsctl = (...args: string[]) => execute(join(root, "tsctl/bin/tsctl"), args, { env: { ...process.env, KUBECONFIG: kubeconfig } });
  const pids = async () => {
    const { stdout } = await tsctl("dev", "status", "--name", name, "-o", "json");
    const { parts } = JSON.parse(stdout) as { parts: { name: string; pid: number | null }[] };
    return new Map(parts.flatMap((part) => (part.pid === null ? [] : [[part.name, part.pid] as const])));
  };
  try {
    await tsctl("dev", "up", "--name", name, "--nodes", String(nodes));
    await tsctl("image", "load", join(root, "dist/busybox.tar"));
    const api = new ApiClient(kubeconfig);
    try {
      await body({ api, kubeconfig, pids });
    } finally {
      api.close();
    }
  } finally {
    await tsctl("dev", "down", "--name", name);
    await rm(folder, { recursive: true, force: true });
  }
}
