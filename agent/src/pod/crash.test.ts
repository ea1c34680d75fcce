import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "@tessera/proto";
import type { Pods } from "./pods.ts";
import { TestNode, until } from "./testing/harness.ts";
import { container, deleted, pod } from "./testing/pod-builder.ts";

const HOOKS = { postStart: { exec: { command: ["hello"] } }, preStop: { exec: { command: ["bye"] } } };

/** Everything that a step can be about: hooks, an init container, a sidecar, volumes on disk and in memory, a port of the
 * node, a container that is restarted. */
const POD: Pod = pod("a", {
  initContainers: [container("setup", { command: ["exit 0"] }), container("proxy", { restartPolicy: "Always" })],
  containers: [container("main", { lifecycle: HOOKS, ports: [{ containerPort: 80, hostPort: 8080 }] }), container("side")],
  volumes: [
    { name: "scratch", emptyDir: {} },
    { name: "memory", emptyDir: { medium: "Memory" } },
    { name: "secret", secret: { secretName: "given" } },
  ],
});

/** The n-th time that an agent passes a point. */
interface Moment {
  readonly point: string;
  readonly nth: number;
}

/**
 * An agent that is killed at a certain moment. From then on none of its steps gets past its next failpoint, and its workers notice nothing
 * any more: as near to kill -9 as one process can come.
 */
class DoomedAgent {
  readonly passed = new Map<string, number>();
  isDead = false;
  pods: Pods | undefined;
  readonly #end: Moment | undefined;

  constructor(end: Moment | undefined) {
    this.#end = end;
  }

  readonly failpoint = (point: string): void => {
    const nth = (this.passed.get(point) ?? 0) + 1;
    this.passed.set(point, nth);
    if (point === this.#end?.point && nth === this.#end.nth) {
      this.isDead = true;
      void this.pods?.stop();
    }
    if (this.isDead) throw new Error(`killed at ${point}`);
  };
}

type Life = (node: TestNode, pods: Pods, isDead: () => boolean) => Promise<void>;

const isUp = (node: TestNode) => {
  const status = node.statuses.get("uid-a");
  return status?.podIP !== undefined && (status.conditions ?? []).some((one) => one.type === "Ready" && one.status === "True");
};

const creation: Life = async (node, pods, isDead) => {
  pods.assign(POD);
  await until(() => isUp(node) || isDead());
};

const deletion: Life = async (node, pods, isDead) => {
  pods.assign(deleted(POD, 30));
  await until(() => node.gone.has("uid-a") || isDead());
};

async function withNode(work: (node: TestNode) => Promise<void>): Promise<void> {
  const node = await TestNode.make();
  try {
    const given = { metadata: { resourceVersion: "1" }, data: { key: "" } };
    node.objects.set({ kind: "Secret", namespace: "default", name: "given" }, given);
    await work(node);
  } finally {
    await node.remove();
  }
}

/** Lives `life` in an agent that dies at that moment; returns the agent. */
async function live(node: TestNode, life: Life, end: Moment | undefined): Promise<DoomedAgent> {
  const doomed = new DoomedAgent(end);
  const pods = await node.agent(doomed.failpoint);
  doomed.pods = pods;
  await life(node, pods, () => doomed.isDead);
  await pods.stop();
  return doomed;
}

/** Every moment of `life` when nothing goes wrong, after what `prepare` did. */
async function momentsOf(life: Life, prepare: (node: TestNode) => Promise<void> = async () => undefined): Promise<Moment[]> {
  const moments: Moment[] = [];
  await withNode(async (node) => {
    await prepare(node);
    const { passed } = await live(node, life, undefined);
    for (const [point, count] of passed) for (let nth = 1; nth <= count; nth += 1) moments.push({ point, nth });
  });
  return moments;
}

function assertCovers(moments: readonly Moment[], steps: readonly string[]): void {
  const points = new Set(moments.map((moment) => moment.point));
  for (const step of steps) for (const point of ["before", "begun", "done"]) assert.ok(points.has(`${step}:${point}`), `${step}:${point}`);
}

/** The next agent converges, and deleting the pod leaves nothing. */
async function finish(node: TestNode, where: string): Promise<void> {
  node.statuses.clear();
  const pods = await node.agent();
  const seen = async () => ({ where, statuses: [...node.statuses], events: node.events, left: await node.leftovers() });
  pods.assign(POD);
  await until(() => isUp(node), seen);
  pods.assign(deleted(POD, 30));
  await until(() => node.gone.has("uid-a"), seen);
  assert.deepEqual(await node.leftovers(), [], where);
  await pods.stop();
}

/** Each moment on a node of its own, some side by side. */
async function forEach(moments: readonly Moment[], check: (moment: Moment, node: TestNode) => Promise<void>): Promise<void> {
  const waiting = [...moments];
  const worker = async () => {
    for (let moment = waiting.shift(); moment !== undefined; moment = waiting.shift()) {
      const next = moment;
      await withNode((node) => check(next, node));
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

describe("an agent that is killed", () => {
  it("at any point of a pod's creation leaves what the next one makes whole, and no container runs twice", async () => {
    const moments = await momentsOf(creation);
    const steps = [
      "makeFolders",
      "allocateAddress",
      "createNetns",
      "openHostPorts",
      "mountVolume",
      "createSandbox",
      "prepareContainer",
      "startContainer",
    ];
    assertCovers(moments, steps);
    await forEach(moments, async (moment, node) => {
      const { isDead } = await live(node, creation, moment);
      const where = `${moment.point} ${moment.nth}`;
      assert.ok(isDead, where);
      await finish(node, where);
      const starts = node.kernel.starts.map((start) => start.split("/")[1]);
      assert.deepEqual([...starts].sort(), ["main_0", "proxy_0", "setup_0", "side_0"], where);
    });
  });

  it("together with the pod's shim still ends in a whole pod and leaves nothing", async () => {
    await forEach(await momentsOf(creation), async (moment, node) => {
      await live(node, creation, moment);
      node.kernel.sandboxes.clear();
      await finish(node, `${moment.point} ${moment.nth}`);
    });
  });

  it("at any point of a pod's removal leaves what the next one removes", async () => {
    const runPod = async (node: TestNode) => {
      await live(node, creation, undefined);
    };
    const moments = await momentsOf(deletion, runPod);
    assertCovers(moments, [
      "signalContainer",
      "removeSandbox",
      "closeHostPorts",
      "releaseNetns",
      "releaseAddress",
      "unmountVolumes",
      "removeFolders",
    ]);
    await forEach(moments, async (moment, node) => {
      await runPod(node);
      const where = `${moment.point} ${moment.nth}`;
      assert.ok((await live(node, deletion, moment)).isDead, where);
      await live(node, deletion, undefined);
      assert.deepEqual(await node.leftovers(), [], where);
    });
  });

  it("at any point while a half-made pod is released leaves nothing either", async () => {
    const release: Life = async (node, pods, isDead) => {
      pods.assign(POD);
      await until(() => pods.get("uid-a")?.state.sandbox === "there" || isDead());
      pods.release("uid-a");
      await until(() => node.gone.has("uid-a") || isDead());
    };
    await forEach(await momentsOf(release), async (moment, node) => {
      await live(node, release, moment);
      const pods = await node.agent();
      pods.keepOnly(new Set());
      await until(
        () => pods.all().length === 0,
        () => node.leftovers(),
      );
      assert.deepEqual(await node.leftovers(), [], `${moment.point} ${moment.nth}`);
      await pods.stop();
    });
  });
});
