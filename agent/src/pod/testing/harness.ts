import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ContainerStatus, PodStatus } from "@tessera/proto";
import type { HostFiles } from "@tessera/runtime-native";
import { pino } from "pino";
import { AddressPool } from "../../network/addresses.ts";
import type { NodeFacts } from "../../node-facts.ts";
import { ReferencedObjects } from "../../objects/referenced-objects.ts";
import { AccountReader } from "../../process/user.ts";
import { Volumes } from "../../volumes/volumes.ts";
import { type AdmittingNode, admissionRefusal } from "../admission.ts";
import type { PodEvent } from "../dependencies.ts";
import { Pods } from "../pods.ts";
import { PodStore } from "../store.ts";
import { FakeClock } from "./fake-clock.ts";
import { FakeHostFiles, FakeImages, FakeNetwork } from "./fake-host.ts";
import { FakeKernel, FakeRuntime } from "./fake-runtime.ts";

export const TEST_NODE: NodeFacts = {
  name: "node-1",
  hostname: "node-1",
  addresses: ["192.0.2.1"],
  cpuMillis: 2000,
  memoryBytes: 8 * 2 ** 30,
  swapBytes: 0,
  hugepages: [],
  seccompFolder: "/nowhere/seccomp",
  podPidsLimit: 4096,
  allowedUnsafeSysctls: [],
  logMaxBytes: 10 << 20,
  logMaxFiles: 5,
};

/** A node without a kernel: pods on a fake runtime, with real files in a temporary folder. Agents come and go; the rest stays. */
export class TestNode {
  readonly clock = new FakeClock();
  readonly kernel = new FakeKernel(() => this.clock.now());
  readonly network = new FakeNetwork();
  readonly hostFiles = new FakeHostFiles();
  readonly images = new FakeImages(["app", "other"]);
  readonly folder: string;
  objects = new ReferencedObjects();
  readonly events: PodEvent[] = [];
  readonly statuses = new Map<string, PodStatus>();
  readonly gone = new Set<string>();
  /** How many statuses were reported for each pod. */
  readonly reportCount = new Map<string, number>();
  addresses: AddressPool;
  podCidr = "10.64.1.0/24";
  admitting: AdmittingNode = {
    allowedUnsafeSysctls: TEST_NODE.allowedUnsafeSysctls,
    allocatable: { cpu: "2", memory: "8Gi", "ephemeral-storage": "100Gi", pods: "110" },
    pressures: [],
    object: { name: TEST_NODE.name, labels: {}, taints: [] },
  };

  private constructor(folder: string) {
    this.folder = folder;
    this.addresses = new AddressPool(join(folder, "addresses"));
  }

  static async make(): Promise<TestNode> {
    return new TestNode(await mkdtemp(join(tmpdir(), "tessera-pods-")));
  }

  /** A new agent on this node, recovered and started. `failpoint` may throw to end it in the middle. */
  async agent(failpoint?: (point: string) => void): Promise<Pods> {
    this.addresses = new AddressPool(join(this.folder, "addresses"));
    const pods = new Pods({
      runtime: new FakeRuntime(this.kernel),
      network: this.network,
      // The layer writer is the image store's alone.
      hostFiles: this.hostFiles as unknown as HostFiles,
      images: this.images,
      accounts: new AccountReader(),
      addresses: this.addresses,
      volumes: new Volumes({ hostFiles: this.hostFiles, objects: this.objects }),
      objects: this.objects,
      node: TEST_NODE,
      clock: this.clock,
      log: pino({ level: "silent" }),
      reports: {
        status: (want, status) => {
          this.statuses.set(want.uid, status);
          this.reportCount.set(want.uid, (this.reportCount.get(want.uid) ?? 0) + 1);
        },
        event: (_want, event) => this.events.push(event),
        gone: (want) => this.gone.add(want.uid),
        imagesChanged: () => undefined,
      },
      store: new PodStore(join(this.folder, "pods")),
      refusalOf: (pod, others) =>
        admissionRefusal(
          pod,
          this.admitting,
          others.map(({ footprint }) => footprint),
        ),
      failpoint,
    });
    await pods.recover(AbortSignal.timeout(5000));
    this.addresses.setRange(this.podCidr);
    this.addresses.onFreed(() => pods.poke("addresses"));
    pods.start();
    return pods;
  }

  /** Everything pod-like that is left: what a leak check would find. */
  async leftovers(): Promise<string[]> {
    const files = await readdir(join(this.folder, "pods")).catch(() => []);
    const addresses = await readdir(join(this.folder, "addresses")).catch(() => []);
    return [
      ...[...this.kernel.sandboxes.keys()].map((id) => `sandbox ${id}`),
      ...[...this.network.netns.keys()].map((id) => `netns ${id}`),
      ...[...this.network.hostPorts.keys()].map((id) => `host ports ${id}`),
      ...[...this.hostFiles.mounted].map((path) => `mount ${path}`),
      ...files.map((name) => `folder ${name}`),
      ...addresses.map((name) => `address ${name}`),
    ];
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Waits for a condition; on time-out says what was there instead. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  describe: () => unknown = () => "",
  timeoutMs = 30_000,
): Promise<void> {
  const endMs = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > endMs) throw new Error(`timed out waiting for ${condition}: ${JSON.stringify(await describe(), undefined, 1)}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** What the node of a test has reported of its pods, by uid; each test has a node of its own. */
export function reportsOf(node: () => TestNode) {
  const status = (uid: string) => node().statuses.get(uid);
  const phase = (uid: string) => status(uid)?.phase;
  const main = (uid: string): ContainerStatus | undefined => status(uid)?.containerStatuses?.[0];
  const seen = () => ({ statuses: [...node().statuses], events: node().events });
  const running = (uid: string) => until(() => phase(uid) === "Running" && main(uid)?.ready === true, seen);
  return { status, phase, main, seen, running };
}
