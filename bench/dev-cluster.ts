import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { ApiClient } from "./api-client.ts";
import { isAlive } from "./process-usage.ts";
import { told, withUndo } from "./undo.ts";
import { makeWorkFolder } from "./work-folder.ts";

const root = resolve(import.meta.dirname, "..");
const execute = promisify(execFile);
const tsctl = join(root, "tsctl/bin/tsctl");

/** A running development cluster. */
export interface BenchCluster {
  readonly api: ApiClient;
  readonly kubeconfig: string;
  /** Process ids by the names of `tsctl dev status`: "controlplane", "etcd", "nats-server", "node-1", "node-1 agent". */
  pids(): Promise<Map<string, number>>;
}

/** Runs `body` against a development cluster of its own, with the example image loaded if it has nodes, and removes it. */
export async function withCluster(nodes: number, body: (cluster: BenchCluster) => Promise<void>): Promise<void> {
  const name = `bench-${process.pid}`;
  const folder = makeWorkFolder();
  const kubeconfig = join(folder, "kubeconfig");
  const env = { ...process.env, KUBECONFIG: kubeconfig };
  const pids = async () => {
    const { stdout } = await execute(tsctl, ["dev", "status", "--name", name, "-o", "json"], { env });
    const { parts } = JSON.parse(stdout) as { parts: { name: string; pid: number | null }[] };
    return new Map(parts.flatMap((part) => (part.pid === null ? [] : [[part.name, part.pid] as const])));
  };
  let starting: Promise<unknown> = Promise.resolve();
  const start = async () => {
    await execute(tsctl, ["dev", "up", "--name", name, "--nodes", String(nodes)], { env, signal: told });
    await execute(tsctl, ["image", "load", join(root, "dist/busybox.tar")], { env, signal: told });
  };
  const remove = async () => {
    // Two at work on one cluster would be in each other's way.
    await starting.catch(() => {});
    await execute(tsctl, ["dev", "down", "--name", name], { env });
    await rm(folder, { recursive: true, force: true });
  };
  await withUndo(remove, async () => {
    starting = start();
    await starting;
    const api = new ApiClient(kubeconfig);
    try {
      await body({ api, kubeconfig, pids });
    } finally {
      api.close();
    }
  });
}

/** Removes the clusters of benchmarks that were killed. */
export async function removeStaleClusters(): Promise<void> {
  const { stdout } = await execute(tsctl, ["dev", "list", "-o", "json"]);
  for (const { name } of JSON.parse(stdout) as { name: string }[]) {
    const pid = Number(/^bench-(\d+)$/.exec(name)?.[1] ?? Number.NaN);
    if (Number.isNaN(pid) || isAlive(pid)) continue;
    console.error(`bench: removing ${name}, which a benchmark left that was killed`);
    await execute(tsctl, ["dev", "down", "--name", name]);
  }
}
