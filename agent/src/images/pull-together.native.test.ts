import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import test, { beforeEach } from "node:test";
import { blobOf, blobPath, type CrookedRegistry } from "./testing/crooked-registry.ts";
import { crookedRegistry, refusal } from "./testing/crooked-store.ts";
import { buildImage } from "./testing/image-content.ts";
import { tar } from "./testing/tar-bytes.ts";

const never = new AbortController().signal;
const crooked = crookedRegistry();
const { openStore, pull, addApp, storeFolder } = crooked;
let registry: CrookedRegistry;
beforeEach(() => {
  registry = crooked.registry;
});

test("pulls of one image at the same time are one pull, and go on when one of them is given up", async () => {
  const image = await addApp();
  const asked = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  registry.handle(blobPath("app", image, 1), async (request, response) => {
    asked.resolve();
    await release.promise;
    registry.serve(request, response);
  });
  const store = await openStore();
  const impatient = new AbortController();
  const first = pull(store, "app:1", impatient.signal);
  const others = [pull(store), pull(store)];
  await asked.promise;
  impatient.abort();
  await assert.rejects(first, { name: "AbortError" });
  release.resolve();
  for (const other of others) assert.equal((await other).id, blobOf(image, 0).digest);
  assert.equal(registry.requests.filter((line) => line.includes("/manifests/")).length, 1);
});

test("who has no login does not join the pull of somebody who has", async () => {
  const image = await addApp();
  const asked = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  registry.handle("/v2/app/manifests/1", (request, response) => {
    if (request.headers.authorization === undefined) response.writeHead(401, { "www-authenticate": 'Basic realm="r"' }).end();
    else registry.serve(request, response);
  });
  registry.handle(blobPath("app", image, 1), async (request, response) => {
    asked.resolve();
    await release.promise;
    registry.serve(request, response);
  });
  const store = await openStore();
  const credentials = [{ scope: registry.host, username: "u", password: "p" }];
  const entitled = store.pull(`${registry.host}/app:1`, { credentials, signal: never });
  await asked.promise;
  await assert.rejects(pull(store), refusal("Unauthorized", /pull access denied/));
  release.resolve();
  await entitled;
});

test("when nobody waits any more the pull ends and leaves nothing", async () => {
  const image = await addApp();
  const gone = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  registry.handle(blobPath("app", image, 1), (request, response) => {
    cutNever(response, blobOf(image, 1).bytes);
    request.socket.once("close", () => gone.resolve());
    asked.resolve();
  });
  const store = await openStore();
  const stop = new AbortController();
  const pulling = pull(store, "app:1", stop.signal);
  await asked.promise;
  stop.abort();
  await assert.rejects(pulling, { name: "AbortError" });
  await gone.promise;
  // The next pull of the same image is a new one.
  registry.handle(blobPath("app", image, 1), (request, response) => registry.serve(request, response));
  await pull(store);
  assert.deepEqual(readdirSync(join(storeFolder(), "staging")), []);
});

/** Sends the first half and then nothing. */
function cutNever(response: ServerResponse, bytes: Buffer): void {
  response.writeHead(200, { "content-length": bytes.length });
  response.write(bytes.subarray(0, bytes.length / 2));
}

test("layers come three at a time", async () => {
  const layers = await Promise.all(Array.from({ length: 7 }, (_, i) => tar({ name: `f${i}`, content: randomBytes(1000) })));
  const image = buildImage(layers);
  registry.add("app", "1", image);
  let current = 0;
  let most = 0;
  for (let i = 1; i <= 7; i++) {
    registry.handle(blobPath("app", image, i), (request, response) => {
      most = Math.max(most, ++current);
      // Answers only once a third one is there, or no more will come.
      const wait = () => {
        if (most < 3) setImmediate(wait);
        else registry.serve(request, response);
      };
      response.once("finish", () => current--);
      wait();
    });
  }
  await pull(await openStore());
  assert.equal(most, 3);
});

test("a node pulls four images at a time", async () => {
  const image = buildImage([await tar({ name: "data" })]);
  let current = 0;
  let most = 0;
  const names = Array.from({ length: 6 }, (_, i) => `app${i}`);
  for (const name of names) {
    registry.add(name, "1", image);
    registry.handle(`/v2/${name}/manifests/1`, (request, response) => {
      most = Math.max(most, ++current);
      // Answers only once a fourth one is there, or no more will come.
      const wait = () => {
        if (most < 4) setImmediate(wait);
        else registry.serve(request, response);
      };
      response.once("finish", () => current--);
      wait();
    });
  }
  const store = await openStore();
  await Promise.all(names.map((name) => pull(store, `${name}:1`)));
  assert.equal(most, 4);
  assert.equal((await store.list())[0]?.names.length, 6, "one image, six names");
});
