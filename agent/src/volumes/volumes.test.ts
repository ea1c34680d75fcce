import assert from "node:assert/strict";
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { TesseraError, Volume } from "@tessera/proto";
import { ReferencedObjects } from "../objects/referenced-objects.ts";
import { FakeHostFiles } from "../pod/testing/fake-host.ts";
import { container, pod } from "../pod/testing/pod-builder.ts";
import { replaceContent } from "./atomic-folder.ts";
import { Volumes } from "./volumes.ts";

const FACTS = { hostAddresses: ["192.0.2.1"], podAddresses: [], nodeCpuMillis: 2000, nodeMemoryBytes: 2 ** 33 };

describe("volumes", () => {
  let folder: string;
  let objects: ReferencedObjects;
  let hostFiles: FakeHostFiles;
  let volumes: Volumes;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "tessera-volumes-"));
    objects = new ReferencedObjects();
    hostFiles = new FakeHostFiles();
    volumes = new Volumes({ hostFiles, objects });
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const setUp = (volume: Volume, spec = {}) =>
    volumes.setUp({ pod: pod("a", spec, { labels: { app: "web" } }), volume: { name: "v", ...volume }, folder, facts: FACTS });
  const give = (kind: "ConfigMap" | "Secret", data: Record<string, string>, resourceVersion = "1") =>
    objects.set({ kind, namespace: "default", name: "given" }, { metadata: { resourceVersion }, data });
  const refused = async (volume: Volume, reason: string, message: RegExp) =>
    await assert.rejects(setUp(volume), (error: TesseraError) => {
      assert.equal(error.reason, reason);
      assert.match(error.message, message);
      return true;
    });

  it("give an empty folder that everybody may use, or the pod's group", async () => {
    const { source, readOnly } = await setUp({ emptyDir: {} });
    assert.equal(readOnly, false);
    assert.equal((await stat(source)).mode & 0o7777, 0o777);
    await writeFile(join(source, "kept"), "");
    await setUp({ emptyDir: {} }, { securityContext: { fsGroup: 2000 } });
    assert.deepEqual(await readdir(source), ["kept"]);
    const { mode, gid } = await stat(source);
    assert.deepEqual([mode & 0o7777, gid], [0o2777, 2000]);
    await refused({ emptyDir: { medium: "Disk" } }, "Invalid", /medium "Disk" does not exist/);
  });

  it("are made of the huge pages that the pod asks for", async () => {
    const asking = (...sizes: string[]) => ({
      containers: [{ name: "main", resources: { limits: Object.fromEntries(sizes.map((size) => [`hugepages-${size}`, "1Gi"])) } }],
    });
    const setUpPages = (medium: string, ...sizes: string[]) => setUp({ emptyDir: { medium } }, asking(...sizes));
    const { source } = await setUpPages("HugePages", "2Mi");
    assert.ok(hostFiles.mounted.has(source));
    await setUpPages("HugePages-1Gi", "2Mi", "1Gi");
    const invalid = (message: RegExp) => (error: TesseraError) => error.reason === "Invalid" && message.test(error.message);
    await assert.rejects(setUpPages("HugePages"), invalid(/exactly one size of huge pages in the pod; its containers have limits of none/));
    await assert.rejects(setUpPages("HugePages", "2Mi", "1Gi"), invalid(/limits of 2Mi and 1Gi/));
    await assert.rejects(setUpPages("HugePages-2Mi", "1Gi"), invalid(/medium "HugePages-2Mi" needs exactly one size/));
  });

  it("show a ConfigMap's keys as files, with the modes and paths that are asked for", async () => {
    give("ConfigMap", { a: "1", b: "2" });
    const { source, readOnly } = await setUp({ configMap: { name: "given" } });
    assert.equal(readOnly, true);
    assert.deepEqual([await readFile(join(source, "a"), "utf8"), await readFile(join(source, "b"), "utf8")], ["1", "2"]);
    assert.equal((await stat(join(source, "a"))).mode & 0o777, 0o644);
    await setUp({
      configMap: {
        name: "given",
        defaultMode: 0o600,
        items: [
          { key: "a", path: "deep/er/a" },
          { key: "b", path: "b", mode: 0o400 },
        ],
      },
    });
    assert.equal((await stat(join(source, "deep/er/a"))).mode & 0o777, 0o600);
    assert.equal((await stat(join(source, "b"))).mode & 0o777, 0o400);
    assert.deepEqual((await readdir(source)).filter((name) => !name.startsWith("..")).sort(), ["b", "deep"]);
  });

  it("keep Secrets in memory only, readable for the pod's group", async () => {
    give("Secret", { token: Buffer.from("s3cret").toString("base64") });
    const { source } = await setUp({ secret: { secretName: "given", defaultMode: 0o400 } }, { securityContext: { fsGroup: 2000 } });
    assert.ok(hostFiles.mounted.has(source));
    assert.equal(await readFile(join(source, "token"), "utf8"), "s3cret");
    const { mode, gid } = await stat(join(source, "token"));
    assert.deepEqual([mode & 0o777, gid], [0o440, 2000]);
    await volumes.tearDown(folder);
    assert.equal(hostFiles.mounted.size, 0);
    await assert.rejects(lstat(folder));
    await volumes.tearDown(folder);
  });

  it("name the object or key that is missing, unless it is optional", async () => {
    await refused({ configMap: { name: "given" } }, "ServiceUnavailable", /configmap "given" is not here yet/);
    objects.set({ kind: "ConfigMap", namespace: "default", name: "given" }, undefined);
    await refused({ configMap: { name: "given" } }, "NotFound", /^configmap "given" not found$/);
    const { source } = await setUp({ configMap: { name: "given", optional: true } });
    assert.deepEqual(
      (await readdir(source)).filter((name) => !name.startsWith("..")),
      [],
    );
    give("ConfigMap", { a: "1" });
    const items = [
      { key: "x", path: "x" },
      { key: "a", path: "there" },
    ];
    await refused({ configMap: { name: "given", items } }, "NotFound", /configmap "given" has no key "x"/);
    await setUp({ configMap: { name: "given", items, optional: true } });
    assert.deepEqual(
      (await readdir(source)).filter((name) => !name.startsWith("..")),
      ["there"],
    );
  });

  it("show binary data beside text, byte for byte", async () => {
    const bytes = Buffer.from([0, 255, 10, 128]);
    const object = { metadata: { resourceVersion: "1" }, data: { text: "1" }, binaryData: { raw: bytes.toString("base64") } };
    objects.set({ kind: "ConfigMap", namespace: "default", name: "given" }, object);
    const { source } = await setUp({ configMap: { name: "given" } });
    assert.deepEqual([await readFile(join(source, "raw")), await readFile(join(source, "text"), "utf8")], [bytes, "1"]);
  });

  it("are not written anew when the object is another version of the same content", async () => {
    give("Secret", { a: "MQ==" });
    const { source } = await setUp({ secret: { secretName: "given" } });
    const seen = async () => [
      await readlink(join(source, "..data")),
      (await lstat(join(source, "..data"))).ino,
      (await stat(join(source, "a"))).ino,
    ];
    const before = await seen();
    give("Secret", { a: "MQ==" });
    await setUp({ secret: { secretName: "given" } });
    assert.deepEqual(await seen(), before);
    give("Secret", { a: "Mg==" });
    await setUp({ secret: { secretName: "given" } });
    assert.notDeepEqual(await seen(), before);
  });

  it("keep what is there while the control plane has not spoken", async () => {
    give("ConfigMap", { a: "1" });
    const { source } = await setUp({ configMap: { name: "given" } });
    volumes = new Volumes({ hostFiles, objects: new ReferencedObjects() });
    assert.equal((await setUp({ configMap: { name: "given" } })).source, source);
    assert.equal(await readFile(join(source, "a"), "utf8"), "1");
  });

  it("put several sources into one folder", async () => {
    give("ConfigMap", { a: "1", both: "map" });
    give("Secret", { both: Buffer.from("secret").toString("base64") });
    const downwardAPI = { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] };
    const sources = [{ configMap: { name: "given" } }, { secret: { name: "given" } }, { downwardAPI }];
    const { source } = await setUp({ projected: { sources } });
    assert.ok(hostFiles.mounted.has(source), "a Secret among the sources makes it a tmpfs");
    assert.equal(await readFile(join(source, "both"), "utf8"), "secret");
    await setUp({ projected: { sources: sources.toReversed() } });
    assert.equal(await readFile(join(source, "both"), "utf8"), "map", "of two files by one name the later source's is shown");
    assert.equal(await readFile(join(source, "labels"), "utf8"), 'app="web"');
    await refused(
      { projected: { sources: [{ clusterTrustBundle: { path: "ca" } }] } },
      "Invalid",
      /clusterTrustBundle is not supported yet/,
    );
  });

  it("hold a token in memory, for the user of the containers and the pod's group alone", async () => {
    const volume = { projected: { defaultMode: 0o644, sources: [{ serviceAccountToken: { path: "token", expirationSeconds: 3607 } }] } };
    await refused(volume, "ServiceUnavailable", /a token of service account ".*" is not here yet/);
    const key = { kind: "ServiceAccountToken", namespace: "default", name: "uid-a/3607/" } as const;
    objects.set(key, undefined);
    await refused(volume, "NotFound", /a token of service account ".*" not found/);
    const give = (token: string) => objects.set(key, { token, lifetimeSeconds: 3607, accountUid: "u" });
    assert.equal(give("one"), true);
    assert.equal(give("one"), false);
    const look = async (spec: object) => {
      const { source } = await setUp(volume, spec);
      assert.ok(hostFiles.mounted.has(source));
      const { mode, uid, gid } = await stat(join(source, "token"));
      return [(mode & 0o777).toString(8), uid, gid];
    };
    assert.deepEqual(await look({}), ["644", 0, 0]);
    assert.deepEqual(await look({ securityContext: { fsGroup: 2000 } }), ["640", 0, 2000]);
    assert.deepEqual(await look({ securityContext: { runAsUser: 1000 } }), ["600", 1000, 0]);
    assert.deepEqual(await look({ securityContext: { runAsUser: 1000, fsGroup: 2000 } }), ["640", 1000, 2000]);
    const two = [container("a"), { ...container("b"), securityContext: { runAsUser: 7 } }];
    assert.deepEqual(await look({ securityContext: { runAsUser: 1000 }, containers: two }), ["644", 0, 0]);
    give("two");
    const { source } = await setUp(volume);
    assert.equal(await readFile(join(source, "token"), "utf8"), "two");
  });

  it("refuse paths that lead out of the volume, and volumes of kinds that are not there yet", async () => {
    give("ConfigMap", { a: "1" });
    for (const path of ["../a", "/a", "a/../../b", "..data", "a//b", "", "a\0"]) {
      await refused({ configMap: { name: "given", items: [{ key: "a", path }] } }, "Invalid", /must be relative/);
    }
    await refused({ nfs: { server: "x", path: "/" } }, "Invalid", /kind nfs are not supported yet/);
    await refused({ name: "../up", emptyDir: {} }, "Invalid", /volume name/);
  });

  it("take paths of the node only when they are what the pod says", async () => {
    const path = (name: string) => join(folder, "host", name);
    await mkdir(path("folder"), { recursive: true });
    await writeFile(path("file"), "");
    assert.equal((await setUp({ hostPath: { path: path("folder"), type: "Directory" } })).source, path("folder"));
    assert.equal((await setUp({ hostPath: { path: path("file"), type: "File" } })).source, path("file"));
    await setUp({ hostPath: { path: path("new/folder"), type: "DirectoryOrCreate" } });
    await setUp({ hostPath: { path: path("new/file"), type: "FileOrCreate" } });
    await setUp({ hostPath: { path: path("any") } });
    await setUp({ hostPath: { path: path("file"), type: "" } });
    assert.ok((await stat(path("new/folder"))).isDirectory() && (await stat(path("new/file"))).isFile());
    await setUp({ hostPath: { path: "/dev/null", type: "CharDevice" } });
    await refused({ hostPath: { path: path("nothing"), type: "Directory" } }, "NotFound", /no such path on this node/);
    for (const type of ["Directory", "DirectoryOrCreate", "Socket", "CharDevice", "BlockDevice"]) {
      await refused({ hostPath: { path: path("file"), type } }, "Invalid", new RegExp(`is not a ${type}`));
    }
    await refused({ hostPath: { path: "relative" } }, "Invalid", /must be absolute/);
    await refused({ hostPath: { path: "/a/../b" } }, "Invalid", /without "\.\."/);
    await refused({ hostPath: { path: "/", type: "Folder" } }, "Invalid", /type "Folder" is not known/);
  });

  it("tell the pod's resources to it", async () => {
    const items = [{ path: "cpu", resourceFieldRef: { containerName: "main", resource: "limits.cpu", divisor: "1m" } }];
    const containers = [container("main", { resources: { limits: { cpu: "300m" } } })];
    const { source } = await setUp({ downwardAPI: { items } }, { containers });
    assert.equal(await readFile(join(source, "cpu"), "utf8"), "300");
  });
});

describe("a folder that is replaced as a whole", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "tessera-atomic-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const files = (content: Record<string, string>) =>
    Object.entries(content).map(([path, data]) => ({ path, data: Buffer.from(data), mode: 0o644 }));
  const names = async () => (await readdir(folder)).filter((name) => !name.startsWith("..")).sort();

  it("shows a reader all of the old or all of the new content, never a mixture", async () => {
    const generation = (number: number) => files(Object.fromEntries(["a", "b", "c"].map((name) => [name, `${number}`])));
    await replaceContent(folder, generation(0), undefined);
    let done = false;
    const mixtures: string[] = [];
    const reader = async () => {
      while (!done) {
        // As a careful program does: hold one generation, then read all of it.
        const held = join(folder, await readlink(join(folder, "..data")));
        const seen = await Promise.all(["a", "b", "c"].map((name) => readFile(join(held, name), "utf8").catch(() => "gone")));
        if (new Set(seen.filter((text) => text !== "gone")).size > 1) mixtures.push(seen.join());
        // And as a careless one does: a name that stays is there at any moment.
        await readFile(join(folder, "a"), "utf8");
      }
    };
    const reading = reader();
    for (let number = 1; number <= 40; number += 1) await replaceContent(folder, generation(number), undefined);
    done = true;
    await reading;
    assert.deepEqual(mixtures, []);
    assert.equal(await readFile(join(folder, "a"), "utf8"), "40");
    assert.equal((await readdir(folder)).filter((name) => name.startsWith("..")).length, 2, "one generation and ..data");
  });

  it("takes away what is no longer in it, and does nothing when nothing changed", async () => {
    assert.equal(await replaceContent(folder, files({ a: "1", "d/e": "2" }), undefined), true);
    assert.equal(await replaceContent(folder, files({ "d/e": "2", a: "1" }), undefined), false);
    assert.equal(await replaceContent(folder, files({ b: "3" }), undefined), true);
    assert.deepEqual(await names(), ["b"]);
  });

  it("is mended after a crash between any two of its steps", async () => {
    await replaceContent(folder, files({ a: "old" }), undefined);
    const old = await readlink(join(folder, "..data"));
    await replaceContent(folder, files({ a: "new", b: "new" }), undefined);
    const next = await readlink(join(folder, "..data"));
    // The new files were half written, the link to come was there, names were missing, others were too many.
    await rm(join(folder, next, "b"));
    await rm(join(folder, "..data"));
    await rm(join(folder, "b"));
    await mkdir(join(folder, old), { recursive: true });
    await symlink(old, join(folder, "..data"));
    await symlink(next, join(folder, "..data_next"));
    await symlink("..data/stale", join(folder, "stale"));
    await replaceContent(folder, files({ a: "new", b: "new" }), undefined);
    assert.deepEqual([await readFile(join(folder, "a"), "utf8"), await readFile(join(folder, "b"), "utf8")], ["new", "new"]);
    assert.deepEqual(await names(), ["a", "b"]);
    assert.deepEqual((await readdir(folder)).filter((name) => name.startsWith("..")).sort(), ["..data", next].sort());
  });

  it("gives a name its file, whatever took its place", async () => {
    await replaceContent(folder, files({ a: "1" }), undefined);
    await mkdir(join(folder, "later/inside"), { recursive: true });
    await rm(join(folder, "a"));
    await symlink("/etc/passwd", join(folder, "a"));
    await replaceContent(folder, files({ a: "2", later: "3" }), undefined);
    assert.deepEqual([await readFile(join(folder, "a"), "utf8"), await readFile(join(folder, "later"), "utf8")], ["2", "3"]);
  });

  it("removes a planted link, not what it points to", async () => {
    const canary = join(folder, "..", `canary-${process.pid}`);
    await mkdir(canary);
    await writeFile(join(canary, "precious"), "");
    await replaceContent(folder, files({ a: "1" }), undefined);
    await symlink(canary, join(folder, "planted"));
    await replaceContent(folder, files({ a: "2" }), undefined);
    assert.deepEqual(await names(), ["a"]);
    assert.deepEqual(await readdir(canary), ["precious"]);
    await rm(canary, { recursive: true });
  });
});
