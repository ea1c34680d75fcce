/** One cluster of three nodes for the whole suite; see run-tests.ts. */
import { rmSync } from "node:fs";
import { resolve } from "node:path";
import { assertNothingLeaks, clusterName, kubeconfigPath, tsctl, tsctlOk } from "./cluster.ts";

export async function globalSetup(): Promise<void> {
  await tsctl(["dev", "down", "--name", clusterName], { timeoutMs: 60_000 });
  rmSync(kubeconfigPath, { force: true });
  await tsctlOk(["dev", "up", "--name", clusterName, "--nodes", "3"], { timeoutMs: 120_000 });
  await tsctlOk(["image", "load", resolve(import.meta.dirname, "../../dist/busybox.tar")]);
}

export async function globalTeardown(): Promise<void> {
  try {
    await assertNothingLeaks();
  } finally {
    await tsctlOk(["dev", "down", "--name", clusterName], { timeoutMs: 60_000 });
    rmSync(kubeconfigPath, { force: true });
  }
}
