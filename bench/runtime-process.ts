/**
 * The agent's lower half, for benchmarks: node network and container runtime in the network and mount namespace that this
 * process was started in. Its parent sends what to do over the IPC channel and gets the milliseconds that each took.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { NativeHostFiles, NativeLibrary, NativeNodeNetwork, NativeRuntime, type ProcessSpec } from "../runtime-native/ts/index.ts";
import { limits } from "./baselines.ts";

export type Order = { readonly do: "containers" | "execs"; readonly count: number } | { readonly do: "close" };

export interface Answer {
  readonly wallMs: readonly number[];
  /** CPU time of this process alone, by the repetition. */
  readonly ownCpuMs: number;
}

const [nativeDir = "", folder = "", runDir = "", image = "", cgroupRoot = ""] = process.argv.slice(2);
const signal = new AbortController().signal;
const library = new NativeLibrary({ nativeDir, cgroupRoot });
const network = new NativeNodeNetwork({ library, runDir });
const log = { info: () => {}, warn: (_: object, text: string) => console.error(text) };
const files = new NativeHostFiles({ library });
const runtime = new NativeRuntime({ nativeDir, runDir: join(runDir, "pods"), log, library, files });
const exits = new Map<string, () => void>();
runtime.onEvent((event) => {
  if (event.event === "containerExited") exits.get(event.sandbox)?.();
});
let started = 0;
let execTarget: { readonly id: string; readonly remove: () => Promise<void> } | undefined;

const processOf = (argv: readonly string[]): ProcessSpec => ({
  argv,
  env: ["PATH=/bin"],
  cwd: "/",
  user: { uid: 0, gid: 0, additionalGids: [] },
  terminal: false,
});

async function prepare(): Promise<void> {
  mkdirSync(join(folder, "pods"));
  const ip = (...args: string[]) => execFileSync("ip", args);
  ip("link", "set", "lo", "up");
  // The node's cable to a world that is not needed here.
  ip("link", "add", "cable", "type", "veth", "peer", "name", "world");
  ip("address", "add", "192.0.2.2/24", "dev", "cable");
  ip("link", "set", "world", "up");
  ip("link", "set", "cable", "up");
  await network.ensureNode({ podCidr: "10.64.1.0/24", clusterCidr: "10.64.0.0/16", nodeAddress: "192.0.2.2", nodeDevice: "cable" });
}

/** A pod with one container, until the container runs. Returns what takes it away again. */
async function startPod(id: string, argv: readonly string[]): Promise<() => Promise<void>> {
  const base = join(folder, "pods", id);
  // As an agent makes those of an attempt.
  const entry = { type: "folder", mode: 0o755 } as const;
  await files.makeFolder(base, 0o755, { upper: entry, work: entry });
  const { path } = await network.createPodNetns({ id, address: `10.64.1.${2 + (started++ % 200)}` });
  await runtime.createSandbox(
    {
      id,
      hostname: id,
      network: { kind: "netns", path },
      hostIpc: false,
      sharePids: false,
      cgroup: `pod${id}`,
      resources: {},
      sysctls: {},
    },
    signal,
  );
  await runtime.startContainer(
    id,
    {
      id: "main",
      process: processOf(argv),
      rootfs: { lower: [image], upper: join(base, "upper"), work: join(base, "work"), readOnly: false },
      mounts: [],
      capabilities: ["AUDIT_WRITE", "KILL", "NET_BIND_SERVICE"],
      noNewPrivileges: true,
      privileged: false,
      seccomp: "RuntimeDefault",
      resources: limits,
      pid: "container",
      init: false,
      stdin: false,
      log: { path: join(base, "log"), maxBytes: 10_000_000, maxFiles: 3 },
      oomScoreAdj: 0,
    },
    signal,
  );
  return async () => {
    await runtime.removeSandbox(id);
    await network.releaseNetns(id);
    await files.removeTree(base);
  };
}

async function runContainer(): Promise<number> {
  const id = `bench-${started}`;
  const exited = new Promise<void>((resolve) => exits.set(id, resolve));
  const startedMs = performance.now();
  const remove = await startPod(id, ["/bin/true"]);
  await exited;
  const elapsedMs = performance.now() - startedMs;
  exits.delete(id);
  await remove();
  return elapsedMs;
}

async function runExec(): Promise<number> {
  if (execTarget === undefined) {
    const id = `bench-${started}`;
    execTarget = { id, remove: await startPod(id, ["/bin/sleep", "100000"]) };
  }
  const output = { stdout: () => {}, stderr: () => {} };
  const startedMs = performance.now();
  const session = await runtime.exec(execTarget.id, "main", processOf(["/bin/true"]), false, output, signal);
  const { exitCode } = await session.exited;
  if (exitCode !== 0) throw new Error(`exec of /bin/true ended with ${exitCode}`);
  return performance.now() - startedMs;
}

async function close(): Promise<void> {
  await execTarget?.remove();
  await runtime.close();
  await network.close();
  await library.removeCgroup("");
  await library.close();
}

process.on("message", async (order: Order) => {
  if (order.do === "close") {
    await close();
    process.disconnect();
    return;
  }
  const wallMs: number[] = [];
  const before = process.cpuUsage();
  for (let i = 0; i < order.count; i++) wallMs.push(await (order.do === "containers" ? runContainer() : runExec()));
  const { user, system } = process.cpuUsage(before);
  process.send?.({ wallMs, ownCpuMs: (user + system) / 1000 / order.count } satisfies Answer);
});
await prepare();
process.send?.("ready");
