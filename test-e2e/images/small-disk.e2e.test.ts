/** A node whose disk is small, in a cluster of its own: what goes when it fills up, and what a person sees of it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import test from "node:test";
import { clusterName, exampleImage, kubectlOk, tsctlOk, until } from "../harness/cluster.ts";
import { withImageFile } from "../harness/image.ts";
import { type PodView, shellPod } from "../harness/scenario.ts";

const node = "node-1";
const MiB = 1 << 20;

/** A cluster of one node that keeps all its state on a file system of so many MiB. */
class SmallDiskCluster implements AsyncDisposable {
  readonly #name = `${clusterName}-disk`;
  readonly #folder = mkdtempSync(join(tmpdir(), "tessera-e2e-disk-"));
  readonly #env = { KUBECONFIG: join(this.#folder, "kubeconfig") };
  readonly #disk = join(this.#folder, "disk");

  static async make(sizeMiB: number, agentOptions: readonly string[]): Promise<SmallDiskCluster> {
    const cluster = new SmallDiskCluster();
    try {
      await cluster.#make(sizeMiB, agentOptions);
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  async #make(sizeMiB: number, agentOptions: readonly string[]): Promise<void> {
    await this.#down();
    mkdirSync(this.#disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeMiB}m`, "tessera-e2e", this.#disk]);
    const data = join("/var/lib/tessera-dev", this.#name, "nodes", node, "data");
    mkdirSync(dirname(data), { recursive: true });
    symlinkSync(this.#disk, data);
    const options = agentOptions.map((option) => `--agent-option=${option}`);
    await this.tsctlOk(["dev", "up", "--name", this.#name, "--nodes", "1", ...options], 120_000);
  }

  async tsctlOk(args: readonly string[], timeoutMs = 60_000): Promise<string> {
    return await tsctlOk(args, { env: this.#env, timeoutMs });
  }

  async kubectlOk(args: readonly string[], input?: string): Promise<string> {
    return await kubectlOk(args, { env: this.#env, ...(input === undefined ? {} : { input }) });
  }

  async load(file: string): Promise<void> {
    await this.tsctlOk(["image", "load", file]);
  }

  /** Loads an image of so many bytes that cannot be compressed; on the disk they are twice, packed and unpacked. */
  async loadFiller(name: string, bytes: number): Promise<void> {
    const fill = (root: string) => writeFileSync(join(root, "filler"), randomBytes(bytes));
    await withImageFile(name, {}, fill, async (file) => await this.load(file));
  }

  async apply(...objects: readonly object[]): Promise<void> {
    await this.kubectlOk(["apply", "-f", "-"], objects.map((object) => JSON.stringify(object)).join("\n"));
  }

  async pod(name: string): Promise<PodView> {
    return JSON.parse(await this.kubectlOk(["get", "pod", name, "-o", "json"])) as PodView;
  }

  /** The pod once its phase is as expected. */
  async reaches(name: string, phase: string): Promise<PodView["status"]> {
    return await until(`${name} is ${phase}`, async () => {
      const { status } = await this.pod(name);
      return status.phase === phase ? status : undefined;
    });
  }

  /** What `kubectl get node` knows of images, by their tags. */
  async images(): Promise<string[]> {
    const names = await this.kubectlOk(["get", "node", node, "-o", "jsonpath={.status.images[*].names[*]}"]);
    return names
      .split(" ")
      .filter((name) => !name.includes("@"))
      .sort();
  }

  async nodeEvent(reason: string): Promise<string> {
    const selector = `involvedObject.kind=Node,involvedObject.name=${node},reason=${reason}`;
    return await until(`an event ${reason}`, async () => {
      const found = await this.kubectlOk(["get", "events", "-n", "default", "--field-selector", selector, "--no-headers"]);
      return found === "" ? undefined : found;
    });
  }

  /** Bytes of the disk that are free. */
  free(): number {
    const { bsize, bavail } = statfsSync(this.#disk);
    return bsize * bavail;
  }

  async doctor(): Promise<void> {
    await this.tsctlOk(["dev", "doctor", "--name", this.#name]);
  }

  async #down(): Promise<void> {
    await tsctlOk(["dev", "down", "--name", this.#name], { env: this.#env });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#down();
    execFileSync("sh", ["-c", '! mountpoint -q "$1" || umount "$1"', "sh", this.#disk]);
    rmSync(this.#folder, { recursive: true });
  }
}

const filler = (name: string) => `tessera.local/filler-${name}:1`;

function podOf(name: string, script: string, pod: object = {}): object {
  return shellPod(name, script, { container: { image: filler("used") }, pod: { restartPolicy: "Never", ...pod } });
}

test("a small disk is kept from filling up: unused images go, then pods, and no new ones come", async () => {
  const options = ["--image-gc-high=60", "--image-gc-low=40", "--image-minimum-age=0", "--eviction-disk-available=15"];
  await using cluster = await SmallDiskCluster.make(100, options);
  await cluster.load(resolve(import.meta.dirname, "../../dist/busybox.tar"));
  await cluster.loadFiller(filler("used"), 5 * MiB);
  await cluster.apply(podOf("keeper", "exec sleep 1000"));
  await cluster.reaches("keeper", "Running");

  // Unused images go, the longest unused first, until so little is used.
  for (const name of ["a", "b", "c"]) await cluster.loadFiller(filler(name), 5 * MiB);
  assert.deepEqual(await cluster.images(), [exampleImage, ...["a", "b", "c", "used"].map(filler)]);
  await cluster.loadFiller(filler("last"), 12 * MiB);
  const collected = [filler("last"), filler("used")];
  await until("old images are removed", async () => (String(await cluster.images()) === String(collected) ? true : undefined));
  assert.ok(cluster.free() >= 60 * MiB, `${cluster.free()} bytes are free`);

  // By hand all go that no pod uses.
  await cluster.loadFiller(filler("d"), 5 * MiB);
  const pruned = await cluster.tsctlOk(["image", "prune"]);
  assert.deepEqual(pruned.trim().split("\n").sort(), [`${node}: ${filler("d")}`, `${node}: ${filler("last")}`]);
  await until("the node says so", async () => (String(await cluster.images()) === filler("used") ? true : undefined));

  // When there is nothing more to remove pods go: who has written most.
  const count = Math.floor(cluster.free() / MiB) - 8;
  await cluster.apply(podOf("hog", `dd if=/dev/zero of=/hog bs=1M count=${count}; exec sleep 1000`));
  const evicted = await cluster.reaches("hog", "Failed");
  assert.equal(evicted.reason, "Evicted");
  assert.match(
    evicted.message ?? "",
    /^The node was low on resource: ephemeral-storage\. Threshold quantity: \S+, available: \S+\. Container main was using \S+, request is 0, has larger consumption of ephemeral-storage\.$/,
  );
  await cluster.kubectlOk(["wait", "--for=condition=DiskPressure", `node/${node}`, "--timeout=30s"]);
  assert.match(await cluster.kubectlOk(["describe", "node", node]), /DiskPressure +True .*KubeletHasDiskPressure/);
  assert.match(await cluster.nodeEvent("EvictionThresholdMet"), /Warning/);
  await cluster.nodeEvent("NodeHasDiskPressure");
  assert.equal((await cluster.pod("keeper")).status.phase, "Running");

  // As long as it lasts, and for a while after, none comes: neither by the scheduler nor past it.
  await cluster.apply(podOf("waiting", "true"), podOf("late", "true", { nodeName: node }));
  const late = await cluster.reaches("late", "Failed");
  assert.deepEqual([late.reason, late.message], ["Evicted", "Pod was rejected: The node had condition: [DiskPressure]."]);
  await until("the scheduler says why", async () => {
    const scheduled = (await cluster.pod("waiting")).status.conditions?.find(({ type }) => type === "PodScheduled");
    return scheduled?.message?.includes("{node.kubernetes.io/disk-pressure: }") ? true : undefined;
  });
  await cluster.kubectlOk(["delete", "pod", "--all", "--timeout=60s"]);
  await cluster.doctor();
});
