import assert from "node:assert/strict";
import { test } from "node:test";
import { TesseraError } from "@tessera/proto";
import type { CachedObject, CacheEvent } from "./cache.ts";
import { EventHistory } from "./event-history.ts";
import { objectVersion, storeVersion } from "./revision.ts";

const limits = { events: 8, bytes: 1_000 };

function change(name: string, etcdRevision: number, bytes = 10): CacheEvent<unknown> {
  const object: CachedObject<unknown> = {
    namespace: "default",
    name,
    uid: name,
    revision: objectVersion(etcdRevision),
    bytes: Buffer.alloc(bytes),
    value: {},
  };
  return { type: "ADDED", object };
}

function history(...events: CacheEvent<unknown>[]): EventHistory<unknown> {
  const it = new EventHistory<unknown>(limits);
  it.beginAt(storeVersion(10));
  for (const event of events) it.push(event);
  return it;
}

const names = (events: readonly CacheEvent<unknown>[]): string => events.map((event) => event.object.name).join(" ");
const isExpired = (error: unknown): boolean => error instanceof TesseraError && error.reason === "Expired";

// Changes a at 11; b, c and d together at 12; e at 14.
const told = history(change("a", 11), change("b", 12), change("c", 12), change("d", 12), change("e", 14));

const readers: [string, number, string][] = [
  ["of the list at which the history begins", storeVersion(10), "a b c d e"],
  ["of a later list", storeVersion(11), "b c d e"],
  ["of a list that has all that was changed together", storeVersion(12), "e"],
  ["between changes", storeVersion(13), "e"],
  ["of an object changed alone", objectVersion(11), "b c d e"],
  ["of an object changed together with others, of which it may have missed some", objectVersion(12), "b c d e"],
  ["of the newest object", objectVersion(14), ""],
  ["of the future", storeVersion(20), ""],
];

for (const [from, version, expected] of readers) {
  test(`a reader with the version ${from} gets "${expected}"`, () => {
    assert.equal(names(told.read(told.positionAfter(version), 100)), expected);
  });
}

test("a reader from before the history is Expired", () => {
  assert.throws(() => told.positionAfter(objectVersion(10)), isExpired);
  assert.throws(() => new EventHistory(limits).positionAfter(storeVersion(99)), isExpired);
});

test("a reader goes on where it stopped", () => {
  const it = history(change("a", 11), change("b", 12));
  const position = it.positionAfter(storeVersion(10));
  assert.equal(names(it.read(position, 1)), "a");
  it.push(change("c", 13));
  assert.equal(names(it.read(position + 1, 10)), "b c");
  assert.equal(names(it.read(position + 3, 10)), "");
});

for (const [limit, bytes] of [
  ["number", 10],
  ["size", 200],
] as const) {
  test(`the history is bounded in ${limit}, and a reader that it passed by is Expired`, () => {
    const it = history();
    const slow = it.positionAfter(storeVersion(10));
    for (let i = 0; i < 100; i++) it.push(change(`x${i}`, 11 + i, bytes));
    assert.throws(() => it.read(slow, 1), isExpired);
    assert.throws(() => it.positionAfter(storeVersion(10)), isExpired);
    const newest = it.read(it.positionAfter(storeVersion(108)), 100);
    assert.equal(names(newest), "x98 x99");
    let held = 0;
    for (let from = 10; held === 0; from++) {
      try {
        held = it.read(it.positionAfter(storeVersion(from)), 1_000).length;
      } catch (error) {
        assert.ok(isExpired(error));
      }
    }
    assert.ok(held <= limits.events && held * bytes <= limits.bytes && held >= 4, `${held} held`);
  });
}

test("what was changed together is forgotten together", () => {
  const it = history();
  for (let i = 0; i < 9; i++) it.push(change(`x${i}`, 11 + Math.floor(i / 3)));
  assert.throws(() => it.positionAfter(storeVersion(10)), isExpired);
  assert.throws(() => it.positionAfter(objectVersion(11)), isExpired);
  assert.equal(names(it.read(it.positionAfter(storeVersion(11)), 100)), "x3 x4 x5 x6 x7 x8");
});

test("clearing ends those who read, also when they have read all", () => {
  const it = history(change("a", 11));
  const position = it.positionAfter(storeVersion(11));
  it.clear();
  it.push(change("b", 12));
  assert.throws(() => it.read(position, 10), isExpired);
});
