import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import test, { after, before, type TestContext } from "node:test";
import { promisify } from "node:util";
import { zstdCompressSync } from "node:zlib";
import type { StatusReason } from "@tessera/proto";
import { NativeHostFiles, NativeLibrary } from "@tessera/runtime-native";
import type { RegistryCredentials } from "./credentials.ts";
import type { LocalImage } from "./image-store.ts";
import { LocalImageStore } from "./local-image-store.ts";
import type { RegistrySettings } from "./registry-http.ts";
import { makePki, type TestPki } from "./testing/certificates.ts";
import { DebianRegistry } from "./testing/debian-registry.ts";
import { buildImage, buildIndex } from "./testing/image-content.ts";
import { tar } from "./testing/tar-bytes.ts";
import { TokenServer } from "./testing/token-server.ts";

const run = promisify(execFile);
const never = new AbortController().signal;

/** bcrypt of "hunter2". */
const htpasswd = "user:$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";

let folder: string;
let pki: TestPki;
/** All three serve the same images. */
let open: DebianRegistry;
let guarded: DebianRegistry;
let tokenGuarded: DebianRegistry;
let tokens: TokenServer;

const base = () => tar({ name: "etc/", type: "directory" }, { name: "etc/base", content: "base" });
const top = () => tar({ name: "etc/", type: "directory" }, { name: "etc/top", content: "top" }, { name: "etc/.wh.base" });

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "tessera-pull-"));
  const storage = join(folder, "storage");
  pki = await makePki(folder);
  tokens = new TokenServer(pki);
  await tokens.start();
  writeFileSync(join(folder, "htpasswd"), htpasswd);
  const tls = { certificate: pki.certificate, key: pki.key };
  const basic = `  htpasswd:\n    realm: test\n    path: ${join(folder, "htpasswd")}`;
  const token = [
    "  token:",
    `    realm: ${tokens.realm}`,
    "    service: test-registry",
    "    issuer: test",
    `    rootcertbundle: ${pki.ca}`,
  ].join("\n");
  [open, guarded, tokenGuarded] = await Promise.all([
    DebianRegistry.start({ folder: join(folder, "open"), storage }),
    DebianRegistry.start({ folder: join(folder, "guarded"), storage, tls, auth: basic }),
    DebianRegistry.start({ folder: join(folder, "token"), storage, auth: token }),
  ]);
  await open.push("team/app", "1", buildImage([await base(), await top()]));
  await open.push("team/app", "docker", buildImage([await base()], { kind: "docker" }));
  await open.push("team/app", "zstd", buildImage([await base()], { compress: zstdCompressSync }));
});

after(async () => {
  await Promise.all([open, guarded, tokenGuarded].map((registry) => registry?.stop()));
  tokens?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function openStore(t: TestContext, registries: RegistrySettings = {}, at?: string): Promise<LocalImageStore> {
  const own = at ?? mkdtempSync(join(folder, "store-"));
  t.after(() => rmSync(own, { recursive: true, force: true }));
  const library = new NativeLibrary({ nativeDir: resolve(import.meta.dirname, "../../../dist"), cgroupRoot: "tessera-pull-test" });
  return await LocalImageStore.open({ folder: own, files: new NativeHostFiles({ library }), architecture: "amd64", registries });
}

const trusting = (): RegistrySettings => ({ ca: readFileSync(pki.ca, "utf8") });
const login = (scope: string, password = "hunter2"): RegistryCredentials => ({ scope, username: "user", password });

async function files(store: LocalImageStore, name: string): Promise<string[][]> {
  const image = await store.resolve(name);
  assert.ok(image, `${name} is there`);
  return (await store.prepareRootfs(image)).map((layer) => readdirSync(join(layer, "etc")).sort());
}

function refusal(reason: StatusReason, message: RegExp) {
  return (error: { reason?: string; message: string }) => {
    assert.equal(error.reason, reason, error.message);
    assert.match(error.message, message);
    return true;
  };
}

test("an image is pulled from a registry on loopback and is there after a restart", async (t) => {
  const at = mkdtempSync(join(folder, "store-"));
  const store = await openStore(t, {}, at);
  const name = `${open.host}/team/app:1`;
  const seen: { doneBytes: number; layersDone: number }[] = [];
  const image = await store.pull(name, { signal: never, progress: (progress) => seen.push(progress) });
  assert.deepEqual(image.names, [name]);
  assert.deepEqual(image.config.cmd, ["run"]);
  assert.deepEqual([seen.at(-1)?.layersDone, seen.at(-1)?.doneBytes], [2, image.sizeBytes]);
  for (const opened of [store, await openStore(t, {}, at)]) {
    assert.deepEqual(await files(opened, name), [["base", "top"], ["base"]]);
    assert.equal((await opened.resolve(image.digests[0] ?? ""))?.id, image.id);
  }
  assert.deepEqual(readdirSync(join(at, "staging")), []);
});

for (const tag of ["docker", "zstd"]) {
  test(`an image in the form "${tag}" is pulled`, async (t) => {
    const store = await openStore(t);
    await store.pull(`${open.host}/team/app:${tag}`, { signal: never });
    assert.deepEqual(await files(store, `${open.host}/team/app:${tag}`), [["base"]]);
  });
}

test("a registry with its own authority and basic auth is pulled from with a login", async (t) => {
  const store = await openStore(t, trusting());
  const name = `${guarded.host}/team/app:1`;
  await store.pull(name, { credentials: [login(guarded.host)], signal: never });
  assert.equal((await files(store, name)).length, 2);
});

test("of several logins the right one is found", async (t) => {
  const store = await openStore(t, trusting());
  const credentials = [login(`${guarded.host}/team`, "wrong"), login("elsewhere.example"), login(guarded.host)];
  await store.pull(`${guarded.host}/team/app:1`, { credentials, signal: never });
});

for (const [says, credentials] of [
  ["no login", () => []],
  ["a wrong password", () => [login(guarded.host, "wrong")]],
  ["a login for another repository", () => [login(`${guarded.host}/other`)]],
] as const) {
  test(`with ${says} the pull is denied, and what to do is said`, async (t) => {
    const store = await openStore(t, trusting());
    const name = `${guarded.host}/team/app:1`;
    const message = new RegExp(
      `^pull access denied for ${name}: it does not exist or needs a login in imagePullSecrets; ${guarded.host} wants`,
    );
    await assert.rejects(store.pull(name, { credentials: credentials(), signal: never }), refusal("Unauthorized", message));
    assert.deepEqual(await store.list(), []);
  });
}

test("a certificate that nobody vouches for is refused, unless the host is configured to be insecure", async (t) => {
  const name = `${guarded.host}/team/app:1`;
  const credentials = [login(guarded.host)];
  const store = await openStore(t);
  await assert.rejects(
    store.pull(name, { credentials, signal: never }),
    refusal("Invalid", new RegExp(`certificate of registry ${guarded.host} is not trusted`)),
  );
  await (await openStore(t, { insecure: [guarded.host] })).pull(name, { credentials, signal: never });
});

test("a token server is asked with the login for the one repository", async (t) => {
  tokens.requests.length = 0;
  const store = await openStore(t);
  await store.pull(`${tokenGuarded.host}/team/app:1`, { credentials: [login(tokenGuarded.host)], signal: never });
  assert.deepEqual(tokens.requests[0]?.query, { service: "test-registry", scope: "repository:team/app:pull" });
  assert.equal(tokens.requests.length, 1, "a token is used as long as it is good");
});

test("a refresh token is exchanged by POST", async (t) => {
  tokens.requests.length = 0;
  const store = await openStore(t);
  const credentials = [{ scope: tokenGuarded.host, username: "", password: "", identityToken: "refresh-me" }];
  await store.pull(`${tokenGuarded.host}/team/app:1`, { credentials, signal: never });
  assert.equal(tokens.requests[0]?.method, "POST");
  assert.equal(tokens.requests[0]?.query["grant_type"], "refresh_token");
});

test("a token server that refuses is a denied pull", async (t) => {
  const store = await openStore(t);
  const pulling = store.pull(`${tokenGuarded.host}/team/app:1`, { credentials: [login(tokenGuarded.host, "wrong")], signal: never });
  await assert.rejects(pulling, refusal("Unauthorized", /^pull access denied for .*refuses a token \(401\) to user "user"$/));
});

test("an image that does not exist is said to be not found, with the registry's name", async (t) => {
  const store = await openStore(t);
  for (const path of ["team/app:none", "team/none:1"]) {
    const message = new RegExp(`^manifest for ${open.host}/${path} not found in ${open.host}: `);
    await assert.rejects(store.pull(`${open.host}/${path}`, { signal: never }), refusal("NotFound", message));
  }
});

test("a digest names an image for good, and is found again", async (t) => {
  const image = buildImage([await base()], { cmd: ["by digest"] });
  await open.push("team/pinned", "1", image);
  const store = await openStore(t);
  const name = `${open.host}/team/pinned@${image.manifest.digest}`;
  const pulled = await store.pull(name, { signal: never });
  assert.deepEqual([pulled.names, pulled.digests], [[], [name]]);
  assert.equal((await store.resolve(name))?.id, pulled.id);
  assert.equal((await store.resolve(`${open.host}/team/pinned:ignored@${image.manifest.digest}`))?.id, pulled.id);
  assert.equal(await store.resolve(`${open.host}/team/pinned:1`), undefined);
});

for (const kind of ["oci", "docker"] as const) {
  test(`of a multi-arch image (${kind}) this node's is taken, under the digest of the whole`, async (t) => {
    const platforms: Record<string, string>[] = [
      { architecture: "arm64", os: "linux" },
      { architecture: "amd64", os: "windows" },
      { architecture: "amd64", os: "linux", variant: "v3" },
      { architecture: "amd64", os: "linux" },
      { architecture: "unknown", os: "unknown" },
    ];
    const images = await Promise.all(
      platforms.map(async (platform, i) => {
        const image = buildImage([await base()], { kind, cmd: [`choice ${i}`], architecture: platform["architecture"] });
        return { platform, image };
      }),
    );
    for (const { image } of images) await open.push("team/multi", image.manifest.digest, image);
    const index = buildIndex(images, kind);
    await open.pushManifest("team/multi", kind, index);
    const store = await openStore(t);
    const image = await store.pull(`${open.host}/team/multi:${kind}`, { signal: never });
    assert.deepEqual(image.config.cmd, ["choice 3"]);
    assert.equal(image.digests[0], `${open.host}/team/multi@${index.digest}`);
    assert.equal((await store.pull(`${open.host}/team/multi@${index.digest}`, { signal: never })).id, image.id);
  });
}

test("an image without a variant for this node says what it has", async (t) => {
  const image = buildImage([await base()], { architecture: "arm64" });
  await open.push("team/arm", image.manifest.digest, image);
  await open.push("team/arm", "single", image);
  await open.pushManifest("team/arm", "index", buildIndex([{ image, platform: { os: "linux", architecture: "arm64" } }]));
  const store = await openStore(t);
  await assert.rejects(
    store.pull(`${open.host}/team/arm:index`, { signal: never }),
    refusal("NotFound", /no image for linux\/amd64 in index sha256:.*; it has linux\/arm64/),
  );
  await assert.rejects(
    store.pull(`${open.host}/team/arm:single`, { signal: never }),
    refusal("Invalid", /is for linux\/arm64, this node is linux\/amd64/),
  );
});

test("what the node has is not fetched again; a moved tag is followed", async (t) => {
  const [first, second] = [buildImage([await base()], { cmd: ["first"] }), buildImage([await base(), await top()], { cmd: ["second"] })];
  await open.push("team/moving", "latest", first);
  const store = await openStore(t);
  const name = `${open.host}/team/moving`;
  await store.pull(name, { signal: never });
  await open.push("team/moving", "latest", second);
  const image = await store.pull(name, { signal: never });
  assert.deepEqual(image.config.cmd, ["second"]);
  assert.deepEqual((await store.resolve(name))?.config.cmd, ["second"]);
  assert.deepEqual(
    (await store.resolve(`${name}@${first.manifest.digest}`))?.config.cmd,
    ["first"],
    "running pods find theirs by its digest",
  );
});

/** The image of umoci's making at ${layout}:1, whose second layer hides what the first has at /etc/sub. */
async function foreignLayout(layout: string): Promise<void> {
  const source = `${layout}-source`;
  mkdirSync(join(source, "sub"), { recursive: true });
  writeFileSync(join(source, "sub/file"), "from umoci");
  await run("umoci", ["init", "--layout", layout]);
  await run("umoci", ["new", "--image", `${layout}:1`]);
  await run("umoci", ["insert", "--image", `${layout}:1`, source, "/etc"]);
  await run("umoci", ["insert", "--image", `${layout}:1`, "--whiteout", "/etc/sub"]);
  await run("umoci", ["config", "--image", `${layout}:1`, "--config.cmd", "/etc/run", "--architecture", "amd64"]);
}

async function assertForeign(store: LocalImageStore, image: LocalImage | undefined): Promise<void> {
  assert.ok(image);
  assert.deepEqual(image.config.cmd, ["/etc/run"]);
  const [upper = "", lower = ""] = await store.prepareRootfs(image);
  assert.equal(readFileSync(join(lower, "etc/sub/file"), "utf8"), "from umoci");
  assert.ok(existsSync(join(upper, "etc/sub")), "the whiteout");
}

test("a layer that other tools made is taken: umoci's image, pushed by skopeo", async (t) => {
  const layout = join(folder, "layout");
  await foreignLayout(layout);
  const store = await openStore(t);
  for (const [form, compression] of [
    ["oci", "gzip"],
    ["oci", "zstd"],
    ["v2s2", "gzip"],
  ] as const) {
    const name = `${open.host}/foreign/${form}:${compression}`;
    const flags = ["--insecure-policy", "copy", "--dest-tls-verify=false", "--format", form, "--dest-compress-format", compression];
    await run("skopeo", [...flags, `oci:${layout}:1`, `docker://${name}`]);
    await assertForeign(store, await store.pull(name, { signal: never }));
  }
});

test("archives that other tools made are taken: skopeo's of either form, and a layout that tar packed", async (t) => {
  const layout = join(folder, "archived");
  await foreignLayout(layout);
  const copy = (to: string) => run("skopeo", ["--insecure-policy", "copy", `oci:${layout}:1`, to]);
  await copy(`oci-archive:${join(folder, "oci.tar")}:foreign/oci:1`);
  await copy(`docker-archive:${join(folder, "docker.tar")}:foreign/docker:1`);
  await copy(`oci:${join(folder, "named")}:foreign/layout:1`);
  await run("tar", ["-C", join(folder, "named"), "-cf", join(folder, "layout.tar"), "."]);
  for (const kind of ["oci", "docker", "layout"]) {
    const store = await openStore(t);
    const archive = createReadStream(join(folder, `${kind}.tar`));
    assert.deepEqual(await store.load(archive, never), [`docker.io/foreign/${kind}:1`]);
    await assertForeign(store, await store.resolve(`foreign/${kind}:1`));
  }
});

test("nobody at the port is said with host and port", async (t) => {
  const store = await openStore(t);
  await assert.rejects(
    store.pull("127.0.0.1:1/a:1", { signal: never }),
    refusal("ServiceUnavailable", /^cannot reach registry 127\.0\.0\.1:1: connection refused$/),
  );
});
