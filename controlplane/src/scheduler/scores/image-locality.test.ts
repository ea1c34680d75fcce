import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "@tessera/proto";
import { type NodeBuilder, node, pod } from "../../controllers/testing/builders.ts";
import { canonicalImage } from "../image-table.ts";
import { BenchTable } from "../testing/bench-table.ts";
import { imageLocality } from "./image-locality.ts";

const megabyte = 1024 * 1024;
const busybox = "docker.io/library/busybox:latest";

function holding(name: string, megabytes: number, image = busybox): Node {
  return withImage(node(name), megabytes, image);
}

function withImage(builder: NodeBuilder, megabytes: number, image: string): Node {
  const built = builder.build();
  const images = [{ names: [image], sizeBytes: megabytes * megabyte }];
  return { ...built, status: { ...built.status, images } };
}

function tableOf(...nodes: Node[]): BenchTable {
  const table = new BenchTable([]);
  for (const each of nodes) table.nodes.setNode(each);
  return table;
}

/** Pods of the builders run "busybox". */
const asking = pod("p");

test("a node is worth what of the pod's images it has, from 23 MB to 1,000 MB", () => {
  const table = tableOf(holding("small", 20), holding("half", 511.5), holding("huge", 4000), holding("other", 500, "example.com/a:1"));
  // Three nodes of four have it.
  const scores = Object.entries(table.scores(imageLocality, asking)).map(([name, score]) => [name, Math.round(score)]);
  assert.deepEqual(Object.fromEntries(scores), { small: 0, half: 37, huge: 100, other: 0 });
});

test("an image that few nodes have is worth less", () => {
  const one = tableOf(holding("has", 1000), node("b").build(), node("c").build(), node("d").build());
  const all = tableOf(holding("has", 1000), holding("b", 1000), holding("c", 1000), holding("d", 1000));
  const [few = 0, many = 0] = [one, all].map((table) => table.scores(imageLocality, asking)["has"]);
  assert.equal(many, 100);
  assert.ok(few > 20 && few < 25, String(few));
});

test("what a node has no more is forgotten, and so is what it had under its old size", () => {
  const table = tableOf(holding("a", 1000), holding("b", 1000));
  table.nodes.setNode(holding("a", 1000, "example.com/a:1"));
  table.nodes.setNode(holding("b", 20));
  assert.deepEqual(table.scores(imageLocality, asking), { a: 0, b: 0 });
  table.nodes.setNode(holding("b", 1000));
  table.nodes.removeNode("b");
  assert.equal(table.nodes.images.get(busybox), undefined);
});

test("a pod goes where its image is, all else being equal, as soon as it is there", () => {
  const table = tableOf(node("a").build(), node("b").build(), node("c").build());
  table.place(asking);
  table.nodes.setNode(holding("b", 800));
  assert.deepEqual([table.place(asking), table.place(asking), table.placeAfresh(asking)], ["b", "b", "b"]);
});

test("what is kept from one placement to the next is what a fresh look gives, however images spread", () => {
  const names = Array.from({ length: 12 }, (_, index) => `n${String(index).padStart(2, "0")}`);
  const table = tableOf(...names.map((name) => node(name).build()));
  for (const [index, name] of names.entries()) {
    table.nodes.setNode(holding(name, 300 + 60 * index));
    const kept = table.place(asking);
    assert.equal(kept, table.placeAfresh(asking), `after ${name}`);
    assert.equal(kept, name, "the largest");
  }
});

for (const [image, canonical] of [
  ["busybox", busybox],
  ["busybox:1", "docker.io/library/busybox:1"],
  ["team/app", "docker.io/team/app:latest"],
  ["localhost/app", "localhost/app:latest"],
  ["registry:5000/app", "registry:5000/app:latest"],
  ["example.com/a/b@sha256:0", "example.com/a/b@sha256:0"],
] as const) {
  test(`${image} is ${canonical}`, () => assert.equal(canonicalImage(image), canonical));
}
