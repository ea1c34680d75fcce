import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import test, { beforeEach } from "node:test";
import { promisify } from "node:util";
import type { StatusReason } from "@tessera/proto";
import type { RegistryCredentials } from "./credentials.ts";
import { RegistryHttp } from "./registry-http.ts";
import { blobOf, blobPath, CrookedRegistry } from "./testing/crooked-registry.ts";
import { crookedRegistry, nativeDir, refusal } from "./testing/crooked-store.ts";
import { type BuiltImage, buildImage, buildIndex, digestOf, toBlob } from "./testing/image-content.ts";
import { tar } from "./testing/tar-bytes.ts";

const run = promisify(execFile);
const never = new AbortController().signal;

const crooked = crookedRegistry();
const { openStore, pull, addApp, storeFolder, assertNothingKept } = crooked;
let registry: CrookedRegistry;
beforeEach(() => {
  registry = crooked.registry;
});

/** Sends a part of the content with the length of all of it, and cuts the line. */
function cutAfter(response: ServerResponse, status: number, headers: Record<string, string>, bytes: Buffer, count: number): void {
  response.writeHead(status, { ...headers, "content-length": bytes.length });
  response.write(bytes.subarray(0, count), () => response.destroy());
}

test("a transfer goes on where it was cut, three times over", async () => {
  const image = await addApp();
  const { bytes } = blobOf(image, 1);
  const starts: number[] = [];
  registry.handle(blobPath("app", image, 1), (request: IncomingMessage, response) => {
    const start = Number(/^bytes=([0-9]+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    starts.push(start);
    const rest = bytes.subarray(start);
    const headers = { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
    if (starts.length <= 3) cutAfter(response, start === 0 ? 200 : 206, start === 0 ? {} : headers, rest, 50_000);
    else response.writeHead(206, { ...headers, "content-length": rest.length }).end(rest);
  });
  const store = await openStore();
  await pull(store);
  assert.equal(starts.length, 4);
  assert.deepEqual(
    [...starts].sort((a, b) => a - b),
    starts,
    "never back",
  );
  assert.ok((starts[1] ?? 0) > 0);
});

test("a registry without ranges sends the whole again", async () => {
  const image = await addApp();
  let asked = 0;
  registry.handle(blobPath("app", image, 1), (request, response) => {
    if (++asked < 3) cutAfter(response, 200, {}, blobOf(image, 1).bytes, 100_000);
    else registry.serve(request, response);
  });
  const store = await openStore();
  const [layer = ""] = await store.prepareRootfs(await pull(store));
  assert.equal(readFileSync(join(layer, "data")).length, 300_000);
  assert.equal(asked, 3);
});

test("a registry that never gets to the end is given up, and nothing is kept", async () => {
  const image = await addApp();
  let asked = 0;
  registry.handle(blobPath("app", image, 1), (_request, response) => {
    asked++;
    response.destroy();
  });
  await assert.rejects(
    pull(await openStore()),
    refusal("ServiceUnavailable", new RegExp(`cannot reach registry ${registry.host}: connection lost`)),
  );
  assert.equal(asked, 5);
  assertNothingKept();
});

test("a token that runs out in the middle is renewed", async () => {
  const image = await addApp();
  let tokens = 0;
  registry.handle("/token?scope=repository%3Aapp%3Apull", (_request, response) => response.end(`{"access_token":"t${++tokens}"}`));
  const guard = (good: string) => (request: IncomingMessage, response: ServerResponse) => {
    if (request.headers.authorization === `Bearer ${good}`) registry.serve(request, response);
    else response.writeHead(401, { "www-authenticate": `Bearer realm="http://${registry.host}/token"` }).end();
  };
  registry.handle("/v2/app/manifests/1", guard("t1"));
  registry.handle(blobPath("app", image, 0), guard("t1"));
  registry.handle(blobPath("app", image, 1), guard("t2"));
  await pull(await openStore());
  assert.equal(tokens, 2);
});

test("a login does not travel to the host that a registry redirects to", async (t) => {
  const image = await addApp();
  const elsewhere = await CrookedRegistry.start();
  t.after(() => elsewhere.stop());
  elsewhere.put("/storage/blob", blobOf(image, 1).bytes);
  const challenge = { "www-authenticate": 'Basic realm="r"' };
  registry.handle("/v2/app/manifests/1", (request, response) => {
    if (request.headers.authorization === undefined) response.writeHead(401, challenge).end();
    else registry.serve(request, response);
  });
  registry.handle(blobPath("app", image, 1), (request, response) => {
    assert.match(request.headers.authorization ?? "", /^Basic /);
    response.writeHead(307, { location: `http://${elsewhere.host}/storage/blob` }).end();
  });
  const credentials: RegistryCredentials[] = [{ scope: registry.host, username: "u", password: "p" }];
  await (await openStore()).pull(`${registry.host}/app:1`, { credentials, signal: never });
  assert.deepEqual(elsewhere.requests, ["GET /storage/blob"]);
});

const redirects: readonly [says: string, location: string, message: RegExp][] = [
  ["in a circle", "/v2/app/manifests/1", /redirects more than 5 times/],
  ["to a file of the node", "file:///etc/passwd", /is no safe address/],
];

for (const [says, location, message] of redirects) {
  test(`a redirect ${says} is refused`, async () => {
    registry.handle("/v2/app/manifests/1", (_request, response) => response.writeHead(302, { location }).end());
    await assert.rejects(pull(await openStore()), refusal("ServiceUnavailable", message));
  });
}

test("a token server in the clear is not trusted by a registry elsewhere", async () => {
  registry.handle("/v2/app/manifests/1", (_request, response) =>
    response.writeHead(401, { "www-authenticate": 'Bearer realm="http://registry.example/token"' }).end(),
  );
  await assert.rejects(pull(await openStore()), refusal("ServiceUnavailable", /for a token, which is no safe address/));
});

test("plain HTTP is for loopback and for hosts that are configured so", () => {
  const http = new RegistryHttp({ insecure: ["registry.example:5000"] });
  const spoken = ["127.0.0.1:5000", "localhost:80", "localhost", "registry.example:5000"];
  for (const host of spoken) assert.ok(http.mayBePlain(host), host);
  for (const host of ["registry.example", "10.0.0.1:5000", "127.0.0.1.example", "localhost.example", "1270.0.0.1"])
    assert.ok(!http.mayBePlain(host), host);
});

test("a registry is found by its host's name", async () => {
  const image = await addApp();
  const name = `${registry.host.replace("127.0.0.1", "localhost")}/app:1`;
  assert.equal((await (await openStore()).pull(name, { signal: never })).id, blobOf(image, 0).digest);
});

test("a registry on loopback that changes from plain HTTP to TLS is asked in the right way again", async () => {
  await addApp();
  const http = new RegistryHttp({});
  const ask = async () => (await http.askRegistry(registry.host, "/v2/app/manifests/1", { signal: never })).status;
  assert.equal(await ask(), 200);
  // What a server of TLS says to plain HTTP.
  registry.handle("/v2/app/manifests/1", (_request, response) => response.writeHead(400).end());
  assert.equal(await ask(), 400);
  const greetings = registry.greetings;
  await ask();
  assert.equal(registry.greetings, greetings + 1, "TLS was tried");
});

test("a registry that says nothing is given up", async (t) => {
  registry.handle("/v2/app/manifests/1", () => undefined);
  const http = new RegistryHttp({}, { stallMs: 50 });
  t.after(() => http.close());
  await assert.rejects(
    http.askRegistry(registry.host, "/v2/app/manifests/1", { signal: never }),
    refusal("Timeout", /did not answer for 0.05 s/),
  );
});

const wrong: readonly [says: string, spoil: (image: BuiltImage) => void, reason: StatusReason, message: RegExp][] = [
  [
    "a layer with other bytes",
    (image) => registry.put(blobPath("app", image, 1), randomBytes(blobOf(image, 1).bytes.length)),
    "Invalid",
    /^digest mismatch for blob sha256:/,
  ],
  [
    "a configuration with other bytes",
    (image) => registry.put(blobPath("app", image, 0), Buffer.alloc(blobOf(image, 0).bytes.length, 32)),
    "Invalid",
    /^digest mismatch for blob sha256:/,
  ],
  [
    "a layer that is longer than announced",
    (image) => registry.put(blobPath("app", image, 1), Buffer.alloc(400_000)),
    "Invalid",
    /is 400000 bytes long at .*, [0-9]+ by its manifest/,
  ],
  [
    "a layer that goes on and on",
    (image) =>
      registry.handle(blobPath("app", image, 1), (_request, response) => {
        response.writeHead(200);
        const more = () => response.write(Buffer.alloc(100_000), (error) => error ?? more());
        more();
      }),
    "Invalid",
    /is longer than the [0-9]+ bytes of its manifest/,
  ],
  [
    "a layer that is missing",
    (image) => registry.handle(blobPath("app", image, 1), (_request, response) => response.writeHead(404).end()),
    "NotFound",
    /^blob sha256:.* not found in 127/,
  ],
  ["a manifest that is no JSON", () => registry.put("/v2/app/manifests/1", Buffer.from("<html>")), "Invalid", /is not JSON/],
  [
    "a manifest of 5 MiB",
    () => registry.put("/v2/app/manifests/1", Buffer.alloc(5 << 20, 32)),
    "Invalid",
    /manifest for .* is longer than 4194304 bytes/,
  ],
  [
    "a Docker schema 1 manifest",
    () => registry.put("/v2/app/manifests/1", Buffer.from('{"schemaVersion":1,"fsLayers":[]}')),
    "UnsupportedMediaType",
    /Docker's schema 1/,
  ],
  [
    "an artifact that is no image",
    () => {
      const config = { mediaType: "application/vnd.cncf.helm.config.v1+json", digest: digestOf(Buffer.from("{}")), size: 2 };
      registry.put("/v2/app/manifests/1", toBlob({ schemaVersion: 2, config, layers: [] }).bytes);
    },
    "UnsupportedMediaType",
    /no container image: its configuration has the media type "application\/vnd\.cncf\.helm\.config/,
  ],
  [
    "an encrypted layer",
    (image) => {
      const manifest = JSON.parse(image.manifest.bytes.toString());
      manifest.layers[0].mediaType += "+encrypted";
      registry.put("/v2/app/manifests/1", toBlob(manifest).bytes);
    },
    "UnsupportedMediaType",
    /layer of the unknown media type "application\/vnd\.oci\.image\.layer\.v1\.tar\+gzip\+encrypted"/,
  ],
  [
    "a manifest that promises a terabyte",
    (image) => {
      const manifest = JSON.parse(image.manifest.bytes.toString());
      manifest.layers[0].size = 2 ** 40;
      registry.put("/v2/app/manifests/1", toBlob(manifest).bytes);
    },
    "Invalid",
    /at most 68719476736 are pulled/,
  ],
  [
    "a limit on pulls",
    () =>
      registry.handle("/v2/app/manifests/1", (_request, response) =>
        response.writeHead(429).end('{"errors":[{"message":"slow\\u0007 down"}]}'),
      ),
    "TooManyRequests",
    /limits how much is pulled from it: slow {2}down/,
  ],
  [
    "a broken registry",
    () => registry.handle("/v2/app/manifests/1", (_request, response) => response.writeHead(502).end("oops")),
    "ServiceUnavailable",
    /answered 502$/,
  ],
  [
    "a refusal",
    () => registry.handle("/v2/app/manifests/1", (_request, response) => response.writeHead(403).end()),
    "Forbidden",
    /^pull access denied for/,
  ],
];

for (const [says, spoil, reason, message] of wrong) {
  test(`${says} is refused and nothing is kept`, async () => {
    const image = await addApp();
    spoil(image);
    const store = await openStore();
    await assert.rejects(pull(store), refusal(reason, message));
    assert.deepEqual(await store.list(), []);
    assertNothingKept();
  });
}

test("a manifest that is not what its digest says is refused", async () => {
  const [image, other] = [await addApp(), buildImage([await tar({ name: "other" })])];
  registry.putManifest("app", image.manifest.digest, other.manifest.bytes, other.manifest.mediaType);
  await assert.rejects(
    pull(await openStore(), `app@${image.manifest.digest}`),
    refusal("Invalid", new RegExp(`digest mismatch .* wanted ${image.manifest.digest}`)),
  );
});

test("indexes that lead round in a circle end", async () => {
  // A true circle of digests cannot be made; a long chain is the same to whoever follows it.
  let at = await addApp();
  for (let depth = 0; depth < 5; depth++) {
    const index = buildIndex([{ image: at, platform: { os: "linux", architecture: "amd64" } }]);
    registry.putManifest("app", index.digest, index.bytes, index.mediaType);
    at = { manifest: index, blobs: [] };
  }
  await assert.rejects(pull(await openStore(), `app@${at.manifest.digest}`), refusal("Invalid", /leads through more than 3 indexes/));
});

test("a configuration that claims a layer of another image does not get it", async () => {
  const secret = await tar({ name: "secret", content: "of another image" });
  registry.add("private", "1", buildImage([secret]));
  registry.add("thief", "1", buildImage([await tar({ name: "own" })], { diffIds: [digestOf(secret)] }));
  const store = await openStore();
  await pull(store, "private:1");
  await assert.rejects(pull(store, "thief:1"), refusal("Invalid", /layer digest mismatch/));
  assert.equal(await store.resolve(`${registry.host}/thief:1`), undefined);
});

test("a hostile layer leaves nothing, not even the sound layers beside it", async () => {
  registry.add("app", "1", buildImage([await tar({ name: "sound" }), await tar({ name: "../outside" })]));
  await assert.rejects(pull(await openStore()), refusal("Invalid", /climbs out of the layer/));
  assertNothingKept();
});

test("a full disk in the middle of a pull is said, and leaves nothing half done", async () => {
  mkdirSync(storeFolder());
  await run("mount", ["-t", "tmpfs", "-o", "size=3m", "tessera-image-test", storeFolder()]);
  try {
    await pullOntoFullDisk();
  } finally {
    await run("umount", [storeFolder()]);
  }
});

async function pullOntoFullDisk(): Promise<void> {
  const store = await openStore();
  await addApp({}, 4 << 20);
  const message = new RegExp(
    `^no space left on this node for image "${registry.host}/app:1": the file system of ${storeFolder()} is full$`,
  );
  await assert.rejects(pull(store), refusal("InternalError", message));
  assertNothingKept();
  // The blob has room, but not the layer beside it.
  registry.add("app", "2", buildImage([await tar({ name: "data", content: randomBytes(2 << 20) })]));
  await assert.rejects(pull(store, "app:2"), refusal("InternalError", /no space left on this node/));
  assertNothingKept();
  registry.add("app", "3", buildImage([await tar({ name: "data", content: randomBytes(1000) })]));
  await pull(store, "app:3");
}

test("an agent that is killed at any moment of a pull leaves only whole content, and the next one pulls", async () => {
  const files = Array.from({ length: 200 }, (_, i) => ({ name: `f${i}`, content: randomBytes(2000) }));
  const image = buildImage([await tar(...files), await tar({ name: "small" })]);
  registry.add("app", "1", image);
  const script = join(import.meta.dirname, "testing/pull-process.ts");
  const layer = blobOf(image, 1).bytes;
  const moments: ((kill: () => void) => void)[] = [
    (kill) => registry.handle("/v2/app/manifests/1", kill),
    (kill) => registry.handle(blobPath("app", image, 0), kill),
    (kill) =>
      registry.handle(blobPath("app", image, 1), (_request, response) => {
        response.writeHead(200, { "content-length": layer.length });
        response.write(layer.subarray(0, layer.length / 2), () => kill());
      }),
    // While it is unpacked, or placed.
    ...[3, 20].map((ms) => (kill: () => void) => {
      registry.handle(blobPath("app", image, 1), (request, response) => {
        response.once("finish", () => setTimeout(kill, ms));
        registry.serve(request, response);
      });
    }),
  ];
  for (const moment of moments) {
    const child = spawn(process.execPath, [script, storeFolder(), nativeDir, `${registry.host}/app:1`], { stdio: "ignore" });
    const ended = once(child, "exit");
    moment(() => child.kill("SIGKILL"));
    await ended;
    for (const path of ["/v2/app/manifests/1", blobPath("app", image, 0), blobPath("app", image, 1)]) {
      registry.handle(path, (request, response) => registry.serve(request, response));
    }
    await openStore();
    assert.deepEqual(readdirSync(join(storeFolder(), "staging")), []);
    const blobs = join(storeFolder(), "blobs/sha256");
    for (const name of readdirSync(blobs)) assert.equal(digestOf(readFileSync(join(blobs, name))), `sha256:${name}`);
    const layers = join(storeFolder(), "layers");
    for (const name of readdirSync(layers)) assert.ok([1, files.length].includes(readdirSync(join(layers, name)).length), "a whole layer");
  }
  const store = await openStore();
  const [, lower = ""] = await store.prepareRootfs(await pull(store));
  assert.equal(readdirSync(lower).length, files.length);
});

test("an image that cannot be read at start loses its name, and is pulled anew", async () => {
  const image = await addApp();
  const store = await openStore();
  await pull(store);
  await run("truncate", ["-s", "0", join(storeFolder(), "blobs/sha256", blobOf(image, 0).digest.slice(7))]);
  const reopened = await openStore();
  assert.deepEqual(await reopened.list(), []);
  assert.equal((await pull(reopened)).id, blobOf(image, 0).digest);
});

test("a layer that was removed behind the store's back is unpacked again", async () => {
  await addApp();
  const store = await openStore();
  const image = await pull(store);
  const [layer = ""] = await store.prepareRootfs(image);
  rmSync(layer, { recursive: true });
  await store.prepareRootfs(image);
  assert.equal(readFileSync(join(layer, "data")).length, 300_000);
});
