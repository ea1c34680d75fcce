import assert from "node:assert/strict";
import { test } from "node:test";
import { TesseraError } from "@tessera/proto";
import type { ApiObject } from "../registry/definition.ts";
import type { StoredResource } from "../registry/stored-resource.ts";
import type { ResourceCache } from "../store/cache.ts";
import type { Store } from "../store/store.ts";
import type { AnyObject } from "./reader.ts";
import { StoredReader } from "./stored-reader.ts";

const never = new AbortController().signal;

function object(revision: number): AnyObject {
  const value: ApiObject = { metadata: { name: "a", namespace: "default", resourceVersion: String(revision) } };
  return { namespace: "default", name: "a", uid: "a", revision, value, bytes: Buffer.from(JSON.stringify(value)) };
}

interface World {
  /** The store's newest revision. */
  newest: number;
  /** How far the cache is, and how far it comes when it is waited for. */
  cached: number;
  cacheComesTo?: number;
  inCache?: AnyObject;
  unreadable?: boolean;
}

/** A reader of that world; an object read from the store itself has revision 1,000. */
function readerOf(world: World) {
  const cache: Partial<ResourceCache<ApiObject>> = {
    get revision() {
      return world.cached;
    },
    get: () => world.inCache,
    isUnreadable: () => world.unreadable === true,
    async waitFor(revision) {
      world.cached = world.cacheComesTo ?? world.cached;
      if (world.cached < revision) throw new TesseraError("Timeout", "the cache lags behind");
      world.inCache = object(revision);
    },
  };
  const resource: Partial<StoredResource<ApiObject>> = {
    cache: cache as ResourceCache<ApiObject>,
    read: async () => object(1000) as AnyObject,
    notFound: () => new TesseraError("NotFound", "not found"),
  };
  const store: Partial<Store> = { currentRevision: async () => world.newest };
  return new StoredReader({ resource: resource as StoredResource<ApiObject>, store: store as Store });
}

const get = async (world: World) => (await readerOf(world).get("default", "a", "", { signal: never })).revision;

test("a get without a version is answered by the cache, once it is where the store is", async () => {
  assert.equal(await get({ newest: 7, cached: 9, inCache: object(5) }), 5);
  assert.equal(await get({ newest: 9, cached: 5, cacheComesTo: 9, inCache: object(5) }), 9);
});

test("a cache that does not come to the store's newest revision is passed by", async () => {
  assert.equal(await get({ newest: 9, cached: 5, inCache: object(5) }), 1000);
});

test("of an object whose newest state cannot be read only the store tells", async () => {
  assert.equal(await get({ newest: 7, cached: 7, inCache: object(5), unreadable: true }), 1000);
});

test("what a cache that is new enough does not have does not exist", async () => {
  await assert.rejects(get({ newest: 7, cached: 7 }), (error) => error instanceof TesseraError && error.reason === "NotFound");
});
