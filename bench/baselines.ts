/** The programs that the container runtime is compared with. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import type { CpuMeter } from "./process-usage.ts";
import { told } from "./undo.ts";

const execute = promisify(execFile);

/** Samples of one round. CPU time is of all processes, by the repetition. */
export interface Round {
  readonly wallMs: readonly number[];
  readonly cpuMs: number;
}

/** Compiles floor.c into the folder. */
export async function buildFloor(folder: string): Promise<string> {
  const program = join(folder, "floor");
  await execute("gcc", ["-O2", "-o", program, join(import.meta.dirname, "floor.c")]);
  return program;
}

/** crun takes a machine for misconfigured that has cgroup v1 and, beside it, v2 with controllers: it is not shown the latter. */
const joinAndRun = `
  echo $$ > "$0" || exit 1
  ! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified || exit 1
  exec "$@"
`;

/** Runs floor in the meter's cgroup. */
export async function runFloor(floor: string, meter: CpuMeter, count: number, args: readonly string[]): Promise<Round> {
  told.throwIfAborted();
  const shell = ["--mount", "--propagation", "private", "sh", "-c", joinAndRun, meter.processesFile];
  const before = meter.readMs();
  const child = spawn("unshare", [...shell, floor, String(count), ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, "close")]);
  if (code !== 0) throw new Error(`floor ${args.join(" ")} ended with ${code}`);
  const wallMs = output
    .trim()
    .split("\n")
    .map((line) => Number(line) / 1000);
  return { wallMs, cpuMs: (meter.readMs() - before) / count };
}

/** Debian's crun, installed when it is missing. */
export async function findCrun(): Promise<string> {
  const path = "/usr/bin/crun";
  if (existsSync(path)) return path;
  console.error("bench: crun, which figures are compared with, is missing; installing Debian's package crun");
  try {
    await execute("apt-get", ["install", "--yes", "--no-install-recommends", "crun"]);
  } catch (cause) {
    throw new Error("crun could not be installed; install Debian's package crun by hand", { cause });
  }
  return path;
}

/** A bundle of crun's own making, with the given root folder, program and the limits that the pods of this benchmark have. */
export async function makeBundle(crun: string, folder: string, rootfs: string, cgroup: string, argv: readonly string[]): Promise<string> {
  mkdirSync(folder);
  await execute(crun, ["spec"], { cwd: folder });
  const path = join(folder, "config.json");
  const config = JSON.parse(readFileSync(path, "utf8"));
  config.process.terminal = false;
  config.process.args = argv;
  config.root = { path: rootfs, readonly: false };
  config.linux.cgroupsPath = `/${cgroup}`;
  config.linux.resources = {
    ...config.linux.resources,
    cpu: { shares: limits.cpuShares },
    memory: { limit: limits.memoryLimitBytes },
    pids: { limit: limits.pidsLimit },
  };
  writeFileSync(path, JSON.stringify(config));
  return folder;
}

export const limits = { cpuShares: 512, memoryLimitBytes: 256 * 1024 * 1024, pidsLimit: 100 };
