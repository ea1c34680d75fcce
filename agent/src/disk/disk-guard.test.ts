import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { pino } from "pino";
import type { LocalImage, StoredImage } from "../images/index.ts";
import { FakeClock } from "../pod/testing/fake-clock.ts";
import { fakeImage } from "../pod/testing/fake-host.ts";
import { until } from "../pod/testing/harness.ts";
import { DiskGuard } from "./disk-guard.ts";
import type { DiskSettings } from "./disk-use.ts";
import { chooseVictim, type EvictionCandidate, evictionMessage } from "./eviction.ts";

const MI_B = 1 << 20;
const MINUTE_MS = 60_000;

/** A disk of 100 MiB, of which the images and something else take their parts. */
class TestDisk {
  readonly clock = new FakeClock();
  readonly images: (StoredImage & { readonly sizeMiB: number })[] = [];
  otherMiB = 0;
  freeInodes = 1000;
  readonly used = new Set<string>();
  readonly events: string[][] = [];
  readonly evicted: { readonly uid: string; readonly message: string }[] = [];
  readonly left = new Set<string>();
  pods: EvictionCandidate[] = [];
  measured = 0;
  changes = 0;
  reads = 0;
  failure: Error | undefined;
  guard: DiskGuard;

  constructor(settings: Partial<DiskSettings> = {}) {
    this.guard = new DiskGuard({
      settings: { gcHighPercent: 85, gcLowPercent: 80, minImageAgeMs: 2 * MINUTE_MS, evictionPercent: 10, ...settings },
      readDisk: async () => {
        this.reads++;
        const usedMiB = this.otherMiB + this.images.reduce((sum, { sizeMiB }) => sum + sizeMiB, 0);
        const { freeInodes } = this;
        return { totalBytes: 100 * MI_B, availableBytes: Math.max(0, 100 - usedMiB) * MI_B, totalInodes: 1000, freeInodes };
      },
      images: {
        stored: () => this.images,
        remove: async (id, isUsed) => {
          if (this.failure) throw this.failure;
          const place = this.images.findIndex(({ image }) => image.id === id);
          if (place < 0 || isUsed(this.images[place]?.image as LocalImage)) return false;
          this.images.splice(place, 1);
          return true;
        },
        sweep: async () => undefined,
      },
      usedImages: () => this.used,
      measurePods: async () => {
        this.measured++;
        return this.pods;
      },
      evict: (uid, message) => {
        this.evicted.push({ uid, message });
        this.left.add(uid);
      },
      isLeft: (uid) => this.left.has(uid),
      onChange: () => this.changes++,
      event: (type, reason, message) => this.events.push([type, reason, message]),
      clock: this.clock,
      log: pino({ level: "silent" }),
    });
  }

  add(name: string, sizeMiB: number, usedMinutesAgo: number, isLoaded = false): void {
    const usedAtMs = this.clock.now() - usedMinutesAgo * MINUTE_MS;
    this.images.push({ image: fakeImage(name), sizeMiB, usedAtMs, isLoaded });
  }

  get names(): string[] {
    return this.images.flatMap(({ image }) => image.names);
  }

  get reasons(): (string | undefined)[] {
    return this.events.map(([, reason]) => reason);
  }

  /** Lets time pass until so many further looks have been taken. */
  async look(count = 1): Promise<void> {
    for (let i = 0; i < count; i++) {
      const before = this.reads;
      await until(() => {
        this.clock.advance(10_000);
        return this.reads > before;
      });
      // What the look leads to is done when nothing waits any more.
      for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    }
  }
}

let disk: TestDisk;
beforeEach(() => {
  disk = new TestDisk();
});
afterEach(() => disk.guard.stop());

describe("when the disk fills up", () => {
  it("unused images go, the longest unused first and what came from files last, until enough is free", async () => {
    disk.add("middle", 10, 30);
    disk.add("oldest", 10, 60);
    disk.add("loaded", 10, 90, true);
    disk.add("newest", 10, 10);
    disk.otherMiB = 44;
    disk.guard.start();
    await disk.look(3);
    assert.equal(disk.images.length, 4, "84 percent are not too much");
    disk.otherMiB = 55;
    await disk.look();
    assert.deepEqual(disk.names, ["loaded", "newest"]);
    disk.otherMiB = 70;
    await disk.look(40);
    assert.deepEqual(disk.names, ["loaded"]);
    assert.ok(disk.changes > 0, "the node's status has other images");
    assert.deepEqual(disk.evicted, []);
  });

  it("images stay that pods use, or that were used a moment ago", async () => {
    disk.add("used", 40, 60);
    disk.add("young", 40, 1);
    disk.used.add("used");
    disk.otherMiB = 7;
    disk.guard.start();
    await disk.look();
    assert.deepEqual(disk.names, ["used", "young"]);
    assert.deepEqual(disk.events, [
      [
        "Warning",
        "FreeDiskSpaceFailed",
        `Failed to garbage collect required amount of images. Attempted to free ${7 * MI_B} bytes, but only found 0 bytes eligible to free.`,
      ],
    ]);
    await disk.look(20);
    assert.equal(disk.events.length, 1, "it is not tried again at once");
    await disk.look(20);
    assert.deepEqual(disk.names, ["used"], "by now it is old enough");
  });

  it("a removal that fails is told", async () => {
    disk.add("stuck", 86, 60);
    disk.failure = new Error("read-only file system");
    disk.guard.start();
    await disk.look();
    assert.deepEqual(disk.events[0], ["Warning", "ImageGCFailed", "Could not remove unused images: read-only file system"]);
  });

  it("nothing goes where collection and eviction are turned off", async () => {
    disk = new TestDisk({ gcHighPercent: 100, evictionPercent: 0 });
    disk.add("old", 50, 60);
    disk.otherMiB = 50;
    disk.freeInodes = 0;
    disk.guard.start();
    await disk.look(5);
    assert.deepEqual([disk.names, disk.guard.hasPressure, disk.measured], [["old"], false, 0]);
  });
});

describe("when the disk is nearly full", () => {
  const pod = (uid: string, usedMiB: number, more: { priority?: number; requestMiB?: number } = {}): EvictionCandidate => ({
    uid,
    priority: more.priority ?? 0,
    containers: [{ name: "main", usedBytes: usedMiB * MI_B, requestBytes: (more.requestMiB ?? 0) * MI_B }],
    volumeBytes: 0,
  });

  it("young images go first, and when that is enough no pod does", async () => {
    disk.add("young", 30, 0);
    disk.otherMiB = 65;
    disk.guard.start();
    await disk.look();
    assert.deepEqual([disk.names, disk.guard.hasPressure, disk.measured], [[], false, 0]);
  });

  it("one pod after the other goes, each when the one before has left, until enough is free", async () => {
    disk.pods = [pod("small", 5), pod("large", 20)];
    disk.otherMiB = 95;
    disk.guard.start();
    await disk.look();
    assert.equal(disk.guard.hasPressure, true);
    assert.deepEqual(disk.reasons, ["FreeDiskSpaceFailed", "EvictionThresholdMet", "NodeHasDiskPressure"]);
    await disk.look(3);
    assert.deepEqual(
      disk.evicted.map(({ uid }) => uid),
      ["large"],
    );
    disk.left.clear();
    disk.pods = [pod("small", 5)];
    await disk.look();
    assert.equal(disk.evicted[1]?.uid, "small");
    disk.left.clear();
    disk.pods = [];
    disk.otherMiB = 70;
    await disk.look(20);
    assert.equal(disk.guard.hasPressure, true, "for a while after it");
    await disk.look(20);
    assert.equal(disk.guard.hasPressure, false);
    assert.equal(disk.reasons.at(-1), "NodeHasNoDiskPressure");
    assert.equal(disk.evicted.length, 2);
  });

  it("inodes that run out count as well", async () => {
    disk.freeInodes = 49;
    disk.pods = [pod("many-files", 1)];
    disk.guard.start();
    await disk.look();
    assert.match(disk.evicted[0]?.message ?? "", /^The node was low on resource: inodes. Threshold quantity: 50, available: 49.$/);
  });

  it("who goes first is who uses more than was asked for, then the less important, then who is furthest beyond", () => {
    const order = [
      pod("beyond-most", 20),
      pod("beyond", 10),
      pod("important", 90, { priority: 1000 }),
      pod("within", 50, { requestMiB: 60 }),
    ];
    const left = [pod("critical", 99, { priority: 2_000_000_000 }), ...order].reverse();
    for (const { uid } of order) {
      assert.equal(chooseVictim(left)?.uid, uid);
      left.splice(
        left.findIndex((one) => one.uid === uid),
        1,
      );
    }
    assert.equal(chooseVictim(left), undefined, "what the cluster itself needs stays");
  });

  it("the pod is told in the kubelet's words", () => {
    const shortage = { resource: "ephemeral-storage", threshold: 10 * MI_B, available: 5 * MI_B } as const;
    assert.equal(
      evictionMessage(pod("a", 3), shortage),
      "The node was low on resource: ephemeral-storage. Threshold quantity: 10Mi, available: 5Mi. " +
        "Container main was using 3Mi, request is 0, has larger consumption of ephemeral-storage.",
    );
  });
});
