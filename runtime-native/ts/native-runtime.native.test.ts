import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Node } from "./native-runtime-fixture.ts";

const node = new Node();
const runtime = node.agent();
const signal = AbortSignal.timeout(60_000);
after(() => node.close());

test("a container runs to its exit code and its output is logged line by line", async () => {
  const { id } = await runtime.createSandbox(node.sandbox(), signal);
  const started = await runtime.startContainer(id, node.container("hello", "echo one; echo two >&2; printf three; exit 7"), signal);
  assert.equal(started.phase, "running");
  const exit = await node.exit("hello");
  assert.equal(exit.exitCode, 7);
  assert.equal(exit.signal, 0);
  assert.equal(exit.oomKilled, false);
  assert.ok(exit.finishedAtMs >= exit.startedAtMs && exit.startedAtMs === started.startedAtMs);
  assert.deepEqual(node.log("hello").toSorted(), ["stderr F two", "stdout F one", "stdout F three"]);
  await runtime.removeSandbox(id);
  await node.assertNothingLeft();
});
