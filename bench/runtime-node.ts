/** A node's runtime in a process of its own, beside its baselines, all of whose CPU time is counted. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import * as nodeHost from "../deploy/dev/node-host.ts";
import { buildFloor, type Round } from "./baselines.ts";
import { CpuMeter } from "./process-usage.ts";
import type { Answer, Order } from "./runtime-process.ts";
import { told, withUndo } from "./undo.ts";
import { makeWorkFolder } from "./work-folder.ts";

const nativeDir = resolve(import.meta.dirname, "../dist");
/** Older revisions, which these benchmarks measure too, have none. */
const environment = (nodeHost as Partial<typeof nodeHost>).agentEnvironment ?? [];

export class RuntimeNode {
  readonly folder: string;
  /** On a file system in memory, as /run of a machine is: ours and crun's state. */
  readonly memory: string;
  /** Root folder of the containers: busybox. */
  readonly image: string;
  readonly floor: string;
  readonly meter: CpuMeter;
  readonly #child: ChildProcess;
  #underWay: Promise<unknown> = Promise.resolve();

  private constructor(folder: string, memory: string, image: string, floor: string, meter: CpuMeter, child: ChildProcess) {
    this.folder = folder;
    this.memory = memory;
    this.image = image;
    this.floor = floor;
    this.meter = meter;
    this.#child = child;
  }

  static async with(body: (node: RuntimeNode) => Promise<void>): Promise<void> {
    const folder = makeWorkFolder();
    const memory = makeWorkFolder("memory");
    const meter = new CpuMeter(`tessera-bench-${process.pid}`);
    let node: RuntimeNode | undefined;
    const remove = async () => {
      if (node !== undefined) await node.#close();
      await meter.killAll();
      meter.remove();
      for (const path of [folder, memory]) rmSync(path, { recursive: true, force: true });
    };
    await withUndo(remove, async () => {
      const image = makeImage(join(folder, "image"));
      const floor = await buildFloor(folder);
      const script = join(import.meta.dirname, "runtime-process.ts");
      const program = [
        "env",
        ...environment,
        process.execPath,
        ...nodeHost.agentNodeOptions,
        script,
        nativeDir,
        folder,
        memory,
        image,
        `${meter.name}/pods`,
      ];
      const child = spawn("unshare", ["--net", "--mount", "--propagation", "private", ...program], {
        stdio: ["ignore", "inherit", "inherit", "ipc"],
        // What a terminal sends to all who run in it is not for the child: it ends when it is told to, and then leaves nothing.
        detached: true,
      });
      if (child.pid !== undefined) writeFileSync(meter.processesFile, String(child.pid));
      node = new RuntimeNode(folder, memory, image, floor, meter, child);
      await node.#answer();
      await body(node);
    });
  }

  async run(what: "containers" | "execs", count: number): Promise<Round & Answer> {
    told.throwIfAborted();
    const before = this.meter.readMs();
    this.#child.send({ do: what, count } satisfies Order);
    const answer = this.#answer();
    this.#underWay = answer;
    const { wallMs, ownCpuMs } = (await answer) as Answer;
    return { wallMs, ownCpuMs, cpuMs: (this.meter.readMs() - before) / count };
  }

  async #answer(): Promise<unknown> {
    const ended = new AbortController();
    const end = once(this.#child, "exit", { signal: ended.signal }).then(([code]) => {
      throw new Error(`the runtime's process ended with ${code}`);
    });
    try {
      const [answer] = await Promise.race([once(this.#child, "message", { signal: ended.signal }), end]);
      return answer;
    } finally {
      ended.abort();
      await end.catch(() => undefined);
    }
  }

  async #close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    // It does one thing after the other.
    await this.#underWay.catch(() => {});
    const exit = once(this.#child, "exit");
    this.#child.send({ do: "close" } satisfies Order);
    await exit;
  }
}

/** With the folders that every image has: crun makes those that are missing once and for all, an overlay would for every container. */
function makeImage(folder: string): string {
  for (const name of ["bin", "dev", "etc", "proc", "sys", "tmp"]) mkdirSync(join(folder, name), { recursive: true });
  copyFileSync("/bin/busybox", join(folder, "bin/busybox"));
  for (const name of execFileSync("/bin/busybox", ["--list"], { encoding: "utf8" }).trim().split("\n"))
    if (name !== "busybox") symlinkSync("busybox", join(folder, "bin", name));
  return folder;
}
