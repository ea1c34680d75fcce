import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Readable } from "node:stream";
import test, { after, before } from "node:test";
import { NativeHostFiles, NativeLibrary } from "@tessera/runtime-native";
import { pino } from "pino";
import { LocalImageStore } from "../images/index.ts";
import { buildImage, ociArchive } from "../images/testing/image-content.ts";
import { tar } from "../images/testing/tar-bytes.ts";
import { FakeClock } from "../pod/testing/fake-clock.ts";
import { until } from "../pod/testing/harness.ts";
import { DiskGuard } from "./disk-guard.ts";
import { readDisk, usedPercent } from "./disk-use.ts";

const nativeDir = resolve(import.meta.dirname, "../../../dist");
let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "tessera-disk-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64m", "tessera-test", folder]);
});
after(() => {
  execFileSync("umount", [folder]);
  rmSync(folder, { recursive: true });
});

test("a disk that real images fill is brought below the lower bound, and what is in use stays", async () => {
  const files = new NativeHostFiles({ library: new NativeLibrary({ nativeDir, cgroupRoot: "tessera-disk-test" }) });
  const store = await LocalImageStore.open({ folder: join(folder, "images"), files, architecture: "amd64" });
  // Each takes about 10 MB: the blob and the layer.
  for (let i = 0; i < 4; i++) {
    const image = buildImage([await tar({ name: `data-${i}`, content: randomBytes(5 << 20) })]);
    await store.load(Readable.from([await ociArchive(`a.example/${i}:1`, image)]), AbortSignal.timeout(60_000));
    utimesSync(join(folder, "images/blobs/sha256", image.manifest.digest.replace("sha256:", "")), i, i);
  }
  const again = await LocalImageStore.open({ folder: join(folder, "images"), files, architecture: "amd64" });
  const clock = new FakeClock(Date.now());
  const guard = new DiskGuard({
    settings: { gcHighPercent: 50, gcLowPercent: 45, minImageAgeMs: 0, evictionPercent: 0 },
    readDisk: () => readDisk(folder),
    images: again,
    usedImages: () => new Set(["a.example/0:1"]),
    measurePods: async () => [],
    evict: () => undefined,
    isLeft: () => false,
    onChange: () => undefined,
    event: (_type, reason, message) => assert.fail(`${reason}: ${message}`),
    clock,
    log: pino({ level: "silent" }),
  });
  assert.ok(usedPercent(await readDisk(folder)) > 50);
  guard.start();
  clock.advance(0);
  await until(async () => usedPercent(await readDisk(folder)) <= 45);
  await guard.stop();
  const names = (await again.list()).flatMap((image) => image.names).sort();
  assert.deepEqual(names, ["a.example/0:1", "a.example/3:1"]);
  assert.equal(readdirSync(join(folder, "images/layers")).length, 2);
});
