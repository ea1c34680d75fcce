import { after, before, beforeEach } from "node:test";
import type { Node, NodeCondition, Pod } from "@tessera/proto";
import type { PodBuilder } from "../../controllers/testing/builders.ts";
import { TestControlPlane } from "./test-control-plane.ts";

type Serve = TestControlPlane["serve"];

/** A control plane for all tests of a file, empty before each of them, with what they ask of it time and again. */
export function sharedControlPlane() {
  let plane: TestControlPlane;
  let counter = 0;
  before(async () => {
    plane = await TestControlPlane.start();
  });
  after(() => plane[Symbol.asyncDispose]());
  beforeEach(() => plane.clear());
  const nodeOf = (name: string): Node | undefined => plane.registry.nodes.cache.get("", name)?.value;
  return {
    get registry() {
      return plane.registry;
    },
    get authority() {
      return plane.authority;
    },
    serve: (...options: Parameters<Serve>): ReturnType<Serve> => plane.serve(...options),
    /** A name that no other test has. */
    fresh: (prefix: string): string => `${prefix}-${++counter}`,
    create: (builder: PodBuilder): Promise<Pod> => plane.registry.pods.create(builder.build()),
    /** The pod as it is now. */
    current: (pod: Pod): Pod | undefined => plane.registry.pods.cache.get("default", pod.metadata?.name ?? "")?.value,
    nodeOf,
    readyOf: (name: string): NodeCondition | undefined => nodeOf(name)?.status?.conditions?.find((one) => one.type === "Ready"),
  };
}
