import assert from "node:assert/strict";
import { test } from "node:test";
import { CachedEntry } from "./cached-entry.ts";
import { StringPool } from "./shared-value.ts";
import { SortedObjects } from "./sorted-objects.ts";

const strings = new StringPool();

function entry(path: string, revision = 2): CachedEntry<unknown> {
  const [namespace = "", name = ""] = path.split("/");
  return new CachedEntry({ namespace, name, revision, createRevision: 1, bytes: Buffer.from("{}"), strings });
}

const paths = (entries: Iterable<CachedEntry<unknown>>): string[] => [...entries].map((e) => `${e.namespace}/${e.name}`);

test("objects come in the order of their keys in etcd, whatever the order of their arrival", () => {
  const keys = ["a/z", "a-b/a", "a/a", "b/m", "a-b/b", "b/a", "a0/a", "b/z", "a/m"];
  const objects = new SortedObjects<unknown>();
  for (const key of keys) objects.set(entry(key));
  const asInEtcd = [...keys].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
  assert.deepEqual(paths(objects.list(undefined)), asInEtcd);
  assert.deepEqual(paths(objects.list("a")), ["a/a", "a/m", "a/z"]);
  assert.deepEqual(paths(objects.list("absent")), []);
});

test("replacing keeps the place, removing gives it up, and both keep count", () => {
  const objects = new SortedObjects<unknown>();
  for (const key of ["a/1", "a/2", "a/3", "b/1"]) objects.set(entry(key));
  objects.set(entry("a/2", 8));
  assert.equal(objects.get("a", "2")?.revision, 8);
  assert.equal(objects.size, 4);
  objects.delete("a", "1");
  objects.delete("b", "1");
  objects.delete("b", "1");
  objects.delete("absent", "1");
  assert.deepEqual(paths(objects.list(undefined)), ["a/2", "a/3"]);
  assert.equal(objects.size, 2);
});

test("a list is a snapshot", () => {
  const objects = new SortedObjects<unknown>();
  objects.set(entry("a/1"));
  const [all, some] = [objects.list(undefined), objects.list("a")];
  objects.set(entry("a/2"));
  objects.delete("a", "1");
  assert.deepEqual([paths(all), paths(some)], [["a/1"], ["a/1"]]);
  assert.deepEqual(paths(objects.list(undefined)), ["a/2"]);
});
