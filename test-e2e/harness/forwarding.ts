import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { kubeconfigPath } from "./cluster.ts";

/** A port-forward of one of the programs, until the end of the scope. */
export interface Forwarding extends AsyncDisposable {
  /** http://127.0.0.1:PORT of what leads to this port of the pod. */
  url(port: number): string;
  /** Everything that it printed. */
  readonly output: () => string;
}

export async function forwarding(
  program: "kubectl" | "tsctl",
  namespace: string,
  pod: string,
  ports: readonly number[],
): Promise<Forwarding> {
  const path = program === "kubectl" ? "kubectl" : join(resolve(import.meta.dirname, "../.."), "tsctl/bin/tsctl");
  const child: ChildProcess = spawn(path, ["-n", namespace, "port-forward", `pod/${pod}`, ...ports.map((port) => `:${port}`)], {
    env: { ...process.env, KUBECONFIG: kubeconfigPath },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const grown = () => Promise.race([once(child.stdout ?? child, "data"), once(child, "exit")]);
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (data) => (output += data));
  const local = (port: number) => new RegExp(`127\\.0\\.0\\.1:(\\d+) (?:->|to port) ${port}\\b`).exec(output)?.[1];
  while (ports.some((port) => local(port) === undefined)) {
    await grown();
    if (child.exitCode !== null) throw new Error(`${program} port-forward exited with ${child.exitCode}: ${output}`);
  }
  return {
    url: (port) => `http://127.0.0.1:${local(port)}`,
    output: () => output,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}
