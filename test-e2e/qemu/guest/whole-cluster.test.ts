/** A cluster as people start one, control plane, etcd, NATS and a node, on a machine whose only cgroup hierarchy is v2. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { until } from "../../../runtime-native/ts/testing/patience.ts";

const repository = join(import.meta.dirname, "../../..");
const tsctl = join(repository, "tsctl/bin/tsctl");
const environment = { ...process.env, KUBECONFIG: "/tmp/guest.kubeconfig" };
const patienceMs = 120_000;

/** Runs a program to its end and returns what it wrote. Throws with all of that when it fails. */
async function run(program: string, args: readonly string[], input = ""): Promise<string> {
  const child = spawn(program, args, { env: environment, stdio: "pipe", timeout: 2 * patienceMs });
  const ended = new Promise<number | null>((resolve, reject) => child.once("error", reject).once("close", resolve));
  child.stdin.end(input);
  const [status, output, errors] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  assert.equal(status, 0, `${program} ${args.join(" ")}:\n${output}\n${errors}`);
  return output;
}

const patience = `--timeout=${patienceMs / 1000}s`;
const kubectl = (...args: string[]) => run("kubectl", args);

test("a cluster comes up", async () => {
  await run(tsctl, ["dev", "up", "--name", "guest", "--nodes", "1", patience]);
  await run(tsctl, ["image", "load", join(repository, "dist/busybox.tar")]);
});

test("kubectl starts a pod with limits, sees its output, runs a command in it and deletes it", async () => {
  const limits = { cpu: "500m", memory: "64Mi" };
  const command = ["sh", "-c", "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max; exec sleep 100000"];
  const container = { name: "main", image: "tessera.local/busybox:1", command, resources: { limits } };
  const spec = { terminationGracePeriodSeconds: 0, containers: [container] };
  await run("kubectl", ["apply", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name: "limited" }, spec }));
  await kubectl("wait", "--for=condition=Ready", "pod/limited", patience);
  assert.equal(await kubectl("exec", "limited", "--", "cat", "/proc/self/cgroup"), "0::/\n");
  // It is ready before it has said anything.
  await until("its log has its limits", async () => (await kubectl("logs", "limited")) === "67108864\n50000 100000\n");
  await kubectl("delete", "pod", "limited", patience);
});

test("the cluster goes down, and nothing is left of it", async () => {
  await run(tsctl, ["dev", "doctor", "--name", "guest", patience]);
  await run(tsctl, ["dev", "down", "--name", "guest"]);
  assert.ok(!existsSync("/sys/fs/cgroup/tessera-dev"));
});
