import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container } from "../../gen/api.ts";
import { podRequests, scoredRequests } from "./requests.ts";

const container = (requests: Record<string, string>, restartPolicy?: string): Container => ({ resources: { requests }, restartPolicy });

test("containers add up, a larger init container replaces them", () => {
  const spec = {
    containers: [container({ cpu: "1" }), container({ cpu: "500m", memory: "1Gi" })],
    initContainers: [container({ cpu: "2" })],
  };
  assert.deepEqual(Object.fromEntries(podRequests(spec)), { cpu: 2000, memory: 2 ** 30 });
});

test("a sidecar runs with the containers and with the init containers after it, not with those before", () => {
  const spec = {
    containers: [container({ cpu: "1" })],
    initContainers: [container({ cpu: "1500m" }), container({ cpu: "1" }, "Always"), container({ cpu: "2" })],
  };
  assert.equal(podRequests(spec).get("cpu"), 3000);
});

test("overhead comes on top", () => {
  assert.equal(podRequests({ containers: [container({ cpu: "1" })], overhead: { cpu: "100m" } }).get("cpu"), 1100);
});

test("for scores, what is not requested counts for a little", () => {
  assert.deepEqual(scoredRequests({ containers: [container({}), container({ cpu: "1" })] }), {
    cpuMilli: 1100,
    memoryBytes: 400 * 2 ** 20,
  });
});
