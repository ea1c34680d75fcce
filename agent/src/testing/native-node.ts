import { execFileSync } from "node:child_process";
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { credentials } from "@grpc/grpc-js";
import type { PodStatus } from "@tessera/proto";
import { NativeHostFiles, NativeLibrary, NativeNodeNetwork, NativeRuntime } from "@tessera/runtime-native";
import { pino } from "pino";
import { Agent } from "../agent.ts";
import { systemClock } from "../clock.ts";
import { LocalImageStore } from "../images/index.ts";
import { type InventoryItem, takeInventory } from "../inventory.ts";
import { readCapacity } from "../node-capacity.ts";
import { sandboxesFolder } from "../paths.ts";
import { TEST_NODE, until } from "../pod/testing/harness.ts";
import { FakeControlPlane } from "../session/fake-control-plane.ts";
import { readIdentity } from "../session/node-status.ts";

const NATIVE_DIR = resolve(import.meta.dirname, "../../../dist");
/** The image that the repository builds from Debian's busybox-static. */
export const IMAGE = "tessera.local/busybox:1";

/**
 * A real node below a control plane that only speaks the protocol. The process must have network and mount namespaces of its own; what
 * remains shared with the machine (cgroups, process ids) is named after the process.
 */
export class NativeNode {
  readonly controlPlane = new FakeControlPlane();
  readonly folder: string;
  readonly #cgroupRoot = `tessera-agent-test-${process.pid}`;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(): Promise<NativeNode> {
    const ip = (...argv: string[]) => execFileSync("ip", argv, { stdio: "inherit" });
    ip("link", "set", "lo", "up");
    ip("link", "add", "wire", "type", "veth", "peer", "name", "outside");
    ip("link", "set", "outside", "up");
    ip("address", "add", "192.0.2.1/24", "dev", "wire");
    ip("link", "set", "wire", "up");
    const node = new NativeNode(await mkdtemp(join(tmpdir(), "tessera-node-")));
    await node.controlPlane.start();
    const library = node.#library();
    const images = await node.#images(library);
    await images.load(createReadStream(join(NATIVE_DIR, "busybox.tar")), AbortSignal.timeout(30_000));
    await library.close();
    return node;
  }

  get dataDir(): string {
    return join(this.folder, "data");
  }

  get #runDir(): string {
    return join(this.folder, "run");
  }

  #library(): NativeLibrary {
    return new NativeLibrary({ nativeDir: NATIVE_DIR, cgroupRoot: this.#cgroupRoot });
  }

  #images(library: NativeLibrary): Promise<LocalImageStore> {
    return LocalImageStore.open({ folder: join(this.dataDir, "images"), files: new NativeHostFiles({ library }), architecture: "amd64" });
  }

  async startAgent(): Promise<void> {
    this.#stop = new AbortController();
    const library = this.#library();
    const hostFiles = new NativeHostFiles({ library });
    const log = pino({ level: process.env["TESSERA_TEST_LOG"] ?? "silent" });
    const agent = new Agent({
      node: { ...TEST_NODE, ...(await readCapacity()) },
      identity: await readIdentity(this.folder),
      dataDir: this.dataDir,
      runtime: new NativeRuntime({ nativeDir: NATIVE_DIR, runDir: sandboxesFolder(this.#runDir), log, library, files: hostFiles }),
      network: new NativeNodeNetwork({ library, runDir: this.#runDir }),
      hostFiles,
      images: await this.#images(library),
      disk: { gcHighPercent: 100, gcLowPercent: 80, minImageAgeMs: 0, evictionPercent: 0 },
      clock: systemClock,
      random: Math.random,
      usageIntervalMs: 10_000,
      log,
      controlPlane: { target: this.controlPlane.target, credentials: () => credentials.createInsecure() },
    });
    const sessions = this.controlPlane.sessions;
    await new Promise<void>((resolve, reject) => {
      this.#running = agent.run(this.#stop.signal, resolve).finally(() => library.close());
      this.#running.catch(reject);
    });
    await until(() => this.controlPlane.sessions > sessions);
  }

  async stopAgent(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Every status of the pod, in order. */
  statuses(uid: string): PodStatus[] {
    return this.controlPlane
      .of("podStatus")
      .filter((report) => report.uid === uid)
      .map((report) => JSON.parse(report.status.toString()) as PodStatus);
  }

  /** What `agent inventory` would print. */
  async inventory(): Promise<InventoryItem[]> {
    const { dataDir } = this;
    return await takeInventory({ dataDir, runDir: this.#runDir, cgroupRoot: this.#cgroupRoot, nativeDir: NATIVE_DIR });
  }

  async close(): Promise<void> {
    this.controlPlane.stop();
    const library = this.#library();
    await library.removeCgroup("");
    await new NativeHostFiles({ library }).unmountBelow(this.folder);
    await library.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}
