import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { type Output, type RunOptions, run, runOk } from "./run.ts";

const root = resolve(import.meta.dirname, "../..");

/** The cluster that the e2e suite shares; global-setup.ts makes and removes it. Each checkout has its own, so that two can be tested at once. */
export const clusterName = `e2e-${createHash("sha256").update(root).digest("hex").slice(0, 6)}`;

/** Kept apart from the developer's own ~/.kube/config. */
export const kubeconfigPath = `/tmp/tessera-${clusterName}.kubeconfig`;

export const exampleImage = "tessera.local/busybox:1";

const environment = { KUBECONFIG: kubeconfigPath };

/** One part of the cluster as `tsctl dev status -o json` names it. */
export interface ClusterPart {
  readonly name: string;
  readonly kind: string;
  readonly address?: string;
  readonly dataFolder?: string;
  readonly logFile?: string;
  readonly pid?: number;
  readonly state?: string;
}

export async function tsctl(args: readonly string[], options: RunOptions = {}): Promise<Output> {
  return await run(join(root, "tsctl/bin/tsctl"), args, { ...options, env: { ...environment, ...options.env } });
}

export async function kubectl(args: readonly string[], options: RunOptions = {}): Promise<Output> {
  return await run("kubectl", args, { ...options, env: { ...environment, ...options.env } });
}

export async function tsctlOk(args: readonly string[], options: RunOptions = {}): Promise<string> {
  return await runOk(join(root, "tsctl/bin/tsctl"), args, { ...options, env: { ...environment, ...options.env } });
}

export async function kubectlOk(args: readonly string[], options: RunOptions = {}): Promise<string> {
  return await runOk("kubectl", args, { ...options, env: { ...environment, ...options.env } });
}

export async function clusterParts(): Promise<ClusterPart[]> {
  const status = JSON.parse(await tsctlOk(["dev", "status", "--name", clusterName, "-o", "json"])) as { parts: ClusterPart[] };
  return status.parts;
}

/** The product's own leak check; throws with its findings. */
export async function assertNothingLeaks(): Promise<void> {
  const output = await tsctl(["dev", "doctor", "--name", clusterName], { timeoutMs: 60_000 });
  if (output.code !== 0) throw new Error(`the leak check found something:\n${output.stdout}\n${output.stderr}`);
}

/** Looks again until `check` returns something; throws with the last fault after the deadline. */
export async function until<T>(what: string, check: () => Promise<T | undefined>, timeoutMs = 30_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let fault: unknown;
  for (;;) {
    try {
      const found = await check();
      if (found !== undefined) return found;
    } catch (error) {
      fault = error;
    }
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`, { cause: fault });
    await new Promise((resume) => setTimeout(resume, 50));
  }
}
