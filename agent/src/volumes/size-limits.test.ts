import assert from "node:assert/strict";
import { link, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { FakeClock } from "../pod/testing/fake-clock.ts";
import { until } from "../pod/testing/harness.ts";
import { folderBytes } from "./folder-bytes.ts";
import { limitedFolders, SizeLimits } from "./size-limits.ts";

const KI_B = 1024;
const ENOUGH = 1 << 30;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tessera-sizes-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const bytes = (path = folder, enough = ENOUGH) => folderBytes(path, enough, AbortSignal.timeout(10_000));
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

describe("limits of volumes", () => {
  it("are for emptyDirs on disk that have one", () => {
    const prepared = new Map(
      ["limited", "memory", "free", "zero", "later"].map((name) => [name, { source: `/v/${name}`, readOnly: false }]),
    );
    prepared.delete("later");
    const volumes = [
      { name: "limited", emptyDir: { sizeLimit: "1Mi" } },
      { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
      { name: "free", emptyDir: {} },
      { name: "zero", emptyDir: { sizeLimit: "0" } },
      { name: "later", emptyDir: { sizeLimit: "1Mi" } },
    ];
    assert.deepEqual(limitedFolders(volumes, prepared), [{ volume: "limited", path: "/v/limited", limit: "1Mi" }]);
  });

  it("are looked at again and again, and an excess is told once, in Kubernetes' words", async () => {
    const clock = new FakeClock();
    const told: string[] = [];
    const errors: unknown[] = [];
    const limits = new SizeLimits({ clock, onExceeded: (message) => told.push(message), onError: (error) => errors.push(error) });
    limits.follow([{ volume: "scratch", path: folder, limit: "1Mi" }]);
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
        limits.follow([{ volume: "scratch", path: folder, limit: "1Mi" }]);
        return told.length > 0;
      },
      () => errors,
    );
    assert.equal(told[0], 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi".');
    limits.stop();
    assert.deepEqual(errors, []);
  });

  it("that cannot be told are no excess", async () => {
    const clock = new FakeClock();
    const errors: unknown[] = [];
    const limits = new SizeLimits({ clock, onExceeded: assert.fail, onError: (error) => errors.push(error) });
    limits.follow([{ volume: "gone", path: join(folder, "gone"), limit: "1Mi" }]);
    clock.advance(1_000);
    await until(() => errors.length > 0);
    limits.stop();
  });
});
