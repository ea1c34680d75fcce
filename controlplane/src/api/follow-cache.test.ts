import assert from "node:assert/strict";
import test from "node:test";
import type { ApiObject } from "../registry/definition.ts";
import type { CacheEvent, ResourceCache } from "../store/cache.ts";
import { followCache } from "./follow-cache.ts";
import type { AnyObject, WatchItem } from "./reader.ts";

function object(name: string, revision: number, labels: { [key: string]: string } = {}): AnyObject {
  const value: ApiObject = { metadata: { name, namespace: "a", labels, resourceVersion: String(revision) } };
  return { namespace: "a", name, uid: name, revision, value, bytes: Buffer.from(JSON.stringify(value)) };
}

/** A cache at `revision` with those objects, whose watch tells those batches and then is silent. */
function cacheOf(revision: number, objects: AnyObject[], batches: CacheEvent<ApiObject>[][]): ResourceCache<ApiObject> {
  return {
    revision,
    size: objects.length,
    get: () => undefined,
    isUnreadable: () => false,
    list: () => objects,
    waitFor: async () => {},
    async *watch(from, signal) {
      assert.equal(from, revision);
      yield* batches;
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    },
    onChange: () => () => {},
  };
}

const stop = new AbortController();
const query = {
  selection: { namespace: "", matches: (each: AnyObject) => each.value.metadata?.labels?.["on"] !== undefined },
  resourceVersion: "0",
  initialEvents: "plain",
  bookmarks: true,
  signal: stop.signal,
} as const;
const options = { query, currentRevision: async () => 9, freshnessTimeoutMs: 100 };

async function take(watch: AsyncIterable<readonly WatchItem[]>, count: number): Promise<string[]> {
  const result: string[] = [];
  for await (const items of watch) {
    for (const item of items)
      result.push(item.type === "BOOKMARK" ? `BOOKMARK ${item.resourceVersion}` : `${item.type} ${item.object.name}`);
    if (result.length >= count) break;
  }
  return result;
}

test("after a silence a bookmark tells how far the watcher has come", async () => {
  const cache = cacheOf(9, [object("x", 4, { on: "" })], []);
  assert.deepEqual(await take(followCache({ ...options, cache, bookmarkIntervalMs: 5 }), 2), ["ADDED x", "BOOKMARK 9"]);
});

test("changes that the watcher does not see do not keep its bookmarks from it", async () => {
  let nowMs = 0;
  const now = () => (nowMs += 40);
  const unseen = [11, 12, 13, 14].map((revision) => [{ type: "ADDED" as const, object: object(`n${revision}`, revision) }]);
  const seen = [{ type: "ADDED" as const, object: object("y", 15, { on: "" }) }];
  const watch = followCache({ ...options, cache: cacheOf(9, [], [...unseen, seen]), bookmarkIntervalMs: 100, now });
  const [bookmark, last] = await take(watch, 2);
  assert.match(bookmark ?? "", /^BOOKMARK 1[1-4]$/);
  assert.match(last ?? "", /^(ADDED y|BOOKMARK 1[2-4])$/);
});

test("who wants no bookmarks gets none", async () => {
  const seen = [{ type: "ADDED" as const, object: object("y", 15, { on: "" }) }];
  const watch = followCache({ ...options, query: { ...query, bookmarks: false }, cache: cacheOf(9, [], [seen]), bookmarkIntervalMs: 0 });
  assert.deepEqual(await take(watch, 1), ["ADDED y"]);
});
