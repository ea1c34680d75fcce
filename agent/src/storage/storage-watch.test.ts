import assert from "node:assert/strict";
import { link, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { newRecord } from "../pod/record.ts";
import { FakeClock } from "../pod/testing/fake-clock.ts";
import { until } from "../pod/testing/harness.ts";
import { container, pod } from "../pod/testing/pod-builder.ts";
import { toWanted } from "../pod/wanted.ts";
import { folderBytes } from "./folder-bytes.ts";
import { findExcess } from "./limits.ts";
import { isLimited, type PodStorage, podStorage, type StoragePart } from "./pod-storage.ts";
import { StorageWatch } from "./storage-watch.ts";

const KI_B = 1024;
const ENOUGH = 1 << 30;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tessera-sizes-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const bytes = (path = folder, enough = ENOUGH) => folderBytes(path, enough, AbortSignal.timeout(30_000));
const write = (path: string, kiB: number) => writeFile(join(folder, path), Buffer.alloc(kiB * KI_B, 1));

describe("the bytes of a folder", () => {
  it("are those of all files below it, several names of one counted once", async () => {
    const empty = await bytes();
    await mkdir(join(folder, "a/b"), { recursive: true });
    await write("a/b/file", 64);
    const one = await bytes();
    assert.ok(one - empty >= 64 * KI_B && one - empty < 128 * KI_B, `${one - empty}`);
    await link(join(folder, "a/b/file"), join(folder, "again"));
    assert.equal(await bytes(), one);
    await write("name with spaces", 64);
    await writeFile(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0xfe])]), Buffer.alloc(64 * KI_B, 1));
    assert.ok((await bytes()) - one >= 128 * KI_B, "also of a file whose name is no text");
  });

  it("are counted no further than is enough", async () => {
    for (const name of ["a", "b", "c", "d"]) await write(name, 64);
    const counted = await bytes(folder, 64 * KI_B);
    assert.ok(counted > 64 * KI_B && counted < 4 * 64 * KI_B, `${counted}`);
  });

  it("are not those of what links lead to, also while they take a folder's place", async () => {
    const other = join(folder, "other");
    const volume = join(folder, "volume");
    await mkdir(other);
    await mkdir(join(volume, "place"), { recursive: true });
    await write("other/large", 4096);
    await symlink(other, join(volume, "link"));
    await symlink("/", join(volume, "root"));
    let done = false;
    const swapping = (async () => {
      const name = (text: string) => join(volume, text);
      while (!done) {
        await rename(name("place"), name("aside"));
        await rename(name("link"), name("place"));
        await rename(name("place"), name("link"));
        await rename(name("aside"), name("place"));
      }
    })();
    for (let round = 0; round < 100; round++) assert.ok((await bytes(volume)) < 1024 * KI_B, `round ${round}`);
    done = true;
    await swapping;
    await assert.rejects(bytes(join(volume, "link")), { code: "ENOTDIR" });
  });

  it("have no bounds in a tree that is too deep to be read", async () => {
    await mkdir(join(folder, "d/".repeat(300)), { recursive: true });
    assert.equal(await bytes(), Number.POSITIVE_INFINITY);
  });
});

const part = (name: string, limit: string | undefined, ...paths: string[]): StoragePart => ({ name, limit, paths, requestBytes: 0 });
const storage = (more: Partial<PodStorage>): PodStorage => ({ volumes: [], containers: [], limitBytes: undefined, ...more });

describe("what a pod may fill", () => {
  const folders = { root: "/p", etc: "/p/etc", volumes: "/p/volumes", containers: "/p/containers", logs: "/p/logs" };
  const wanted = (spec: object) => toWanted(pod("a", spec), false);
  const storageOf = (spec: object, prepared: readonly string[] = []) => {
    const want = wanted(spec);
    const preparedVolumes = new Map(prepared.map((name) => [name, { source: `/v/${name}`, readOnly: false }]));
    return podStorage(want, { record: newRecord("uid-a", want.pod, 0), preparedVolumes }, folders);
  };
  const limited = (name: string, limit: string, more: object = {}) =>
    container(name, { resources: { limits: { "ephemeral-storage": limit } }, ...more });

  it("is bounded in emptyDirs on disk that have a limit", () => {
    const volumes = [
      { name: "limited", emptyDir: { sizeLimit: "1Mi" } },
      { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
      { name: "free", emptyDir: {} },
      { name: "zero", emptyDir: { sizeLimit: "0" } },
      { name: "later", emptyDir: { sizeLimit: "1Mi" } },
    ];
    const found = storageOf({ volumes }, ["limited", "memory", "free", "zero"]);
    assert.deepEqual(
      found.volumes.map(({ name, limit }) => [name, limit]),
      [
        ["limited", "1Mi"],
        ["free", undefined],
        ["zero", undefined],
      ],
    );
    assert.equal(isLimited(wanted({ volumes })), true);
    assert.equal(isLimited(wanted({ volumes: volumes.slice(2, 4) })), false, "then nothing is counted");
  });

  it("is bounded as a whole by the limits of its containers", () => {
    assert.equal(storageOf({ containers: [container("a"), container("b")] }).limitBytes, undefined);
    assert.equal(storageOf({ containers: [limited("a", "1Mi"), limited("b", "2Mi"), container("c")] }).limitBytes, 3 << 20);
    const initContainers = [limited("proxy", "1Mi", { restartPolicy: "Always" }), limited("setup", "8Mi")];
    assert.equal(storageOf({ initContainers, containers: [limited("a", "2Mi")] }).limitBytes, 9 << 20);
    assert.equal(storageOf({ initContainers, containers: [limited("a", "20Mi")] }).limitBytes, 21 << 20);
  });

  it("counts a container's attempt and its logs", () => {
    const [main] = storageOf({ containers: [limited("main", "1Mi")] }).containers;
    assert.deepEqual(main?.paths, ["/p/containers/main_0", "/p/logs/main"]);
  });
});

describe("an excess", () => {
  const find = (more: Partial<PodStorage>) => findExcess(storage(more), AbortSignal.timeout(30_000));
  const at = (name: string) => join(folder, name);
  beforeEach(async () => {
    for (const name of ["scratch", "upper", "logs", "other"]) await mkdir(at(name));
  });

  it("of a volume, a container and the pod is told in Kubernetes' words", async () => {
    await write("scratch/large", 2048);
    const volumes = [part("scratch", "1Mi", at("scratch"))];
    assert.equal(await find({ volumes }), 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi".');
    const free = [part("scratch", undefined, at("scratch"))];
    const containers = [part("main", "1Mi", at("upper"), at("logs")), part("side", undefined, at("other"))];
    const ofPod = "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi.";
    assert.equal(await find({ volumes: free, containers, limitBytes: 1 << 20 }), ofPod, "a volume without limit counts for the pod");
    await write("upper/file", 600);
    await write("logs/0.log", 600);
    const ofContainer = 'Container main exceeded its local ephemeral storage limit "1Mi".';
    assert.equal(await find({ containers, limitBytes: 8 << 20 }), ofContainer, "its logs count as well");
    assert.equal(await find({ containers: [part("main", "2Mi", at("upper"), at("logs"))], limitBytes: 2 << 20 }), undefined);
  });

  it("is none when nobody set a limit, whatever there is", async () => {
    await write("upper/file", 4096);
    assert.equal(
      await find({ volumes: [part("scratch", undefined, at("gone"))], containers: [part("main", undefined, at("upper"))] }),
      undefined,
    );
  });

  it("is none of a container's attempt that is gone", async () => {
    assert.equal(await find({ containers: [part("main", "1Mi", at("gone"), at("logs"))], limitBytes: 1 << 20 }), undefined);
  });
});

describe("limits", () => {
  it("are looked at again and again, and an excess is told once", async () => {
    const clock = new FakeClock();
    const told: string[] = [];
    const errors: unknown[] = [];
    const watch = new StorageWatch({ clock, onExceeded: (message) => told.push(message), onError: (error) => errors.push(error) });
    const watched = storage({ volumes: [part("scratch", "1Mi", folder)] });
    watch.follow(watched);
    const timePasses = () => clock.advance(30_000);
    timePasses();
    await write("small", 512);
    for (let look = 0; look < 3; look++) {
      await new Promise((resume) => setImmediate(resume));
      timePasses();
    }
    assert.deepEqual(told, []);
    await write("large", 2048);
    await until(
      () => {
        timePasses();
        if (told.length === 0) watch.follow(watched);
        return told.length > 0;
      },
      () => errors,
    );
    assert.equal(told[0], 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi".');
    watch.stop();
    assert.deepEqual(errors, []);
  });

  it("that cannot be told are no excess", async () => {
    const clock = new FakeClock();
    const errors: unknown[] = [];
    const watch = new StorageWatch({ clock, onExceeded: assert.fail, onError: (error) => errors.push(error) });
    await write("file", 4);
    watch.follow(storage({ volumes: [part("file", "1Mi", join(folder, "file"))] }));
    clock.advance(1_000);
    await until(() => errors.length > 0);
    watch.stop();
  });
});
