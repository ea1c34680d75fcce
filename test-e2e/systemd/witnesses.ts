/** Pods that would notice whatever ends or interrupts them, and who looks whether they did. */
import assert from "node:assert/strict";
import { exampleImage, until } from "../harness/cluster.ts";
import type { Installation } from "./installation.ts";
import type { Machine } from "./machine.ts";

/** What of a container would be another if anything had ended it, as the kernel and as the API see it. */
export interface Life {
  readonly process: string;
  readonly cgroups: string;
  readonly startedAt: string;
  readonly restarts: number;
  readonly containerID: string;
  readonly uid: string;
}

/** Counts, tenfold a second, and heeds a polite end. */
const counting = "trap 'exit 0' TERM; n=0; while :; do n=$((n + 1)); echo $n; sleep 0.1 & wait $!; done";

/** A pod on each node that counts to its log; and one on the first node that counts, over one TCP connection, to the log of one on the second. */
export class Witnesses {
  readonly #installation: Installation;

  constructor(installation: Installation) {
    this.#installation = installation;
  }

  /** Resolves when all of them run. */
  async start(): Promise<void> {
    const [first, second] = this.#installation.nodes;
    assert.ok(first && second);
    await this.apply("counter-0", first, counting);
    await this.apply("counter-1", second, counting);
    await this.apply("receiver", second, "tail -f /dev/null | nc -l -p 7000");
    await this.#installation.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod/receiver");
    const ip = await this.#installation.kubectl("get", "pod", "receiver", "-o", "jsonpath={.status.podIP}");
    await this.apply("sender", first, `(${counting}) | nc ${ip} 7000`);
    const names = ["counter-0", "counter-1", "sender"].map((name) => `pod/${name}`);
    await this.#installation.kubectl("wait", "--for=condition=Ready", "--timeout=60s", ...names);
  }

  /** Makes a pod that runs the script on the node, or has its spec changed. */
  async apply(name: string, node: Machine, script: string, spec: object = {}): Promise<void> {
    const container = {
      name: "main",
      image: exampleImage,
      command: ["sh", "-c", `: ${name}; ${script}`],
      resources: { limits: { memory: "64Mi" } },
    };
    const whole = { nodeName: node.options.name, terminationGracePeriodSeconds: 5, containers: [container], ...spec };
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name }, spec: whole };
    await this.#installation.kubectlWith(JSON.stringify(pod), "apply", "-f", "-");
  }

  /** Runs what must not touch pods: they live on, none of their lines is missing, and their connection has not broken. */
  async unnoticed(disturb: () => Promise<void>): Promise<void> {
    const names = ["counter-0", "counter-1", "sender", "receiver"];
    const writers = names.filter((name) => name !== "sender");
    const before = new Map(await Promise.all(names.map(async (name) => [name, await this.lifeOf(name)] as const)));
    const counts = new Map(await Promise.all(writers.map(async (name) => [name, await this.#lastLine(name)] as const)));
    await disturb();
    await this.#installation.awaitNodes();
    for (const name of names) assert.deepEqual(await this.lifeOf(name), before.get(name), name);
    for (const name of writers) {
      const last = counts.get(name) ?? 0;
      await until(`${name} goes on after ${last}`, async () => ((await this.#lastLine(name)) > last ? true : undefined));
      assertUnbroken((await this.#installation.kubectl("logs", name)).trim().split("\n"), name);
    }
  }

  async lifeOf(name: string): Promise<Life> {
    const { metadata, spec, status } = JSON.parse(await this.#installation.kubectl("get", "pod", name, "-o", "json"));
    const machine = this.#installation.nodes.find(({ options }) => options.name === spec.nodeName);
    assert.ok(machine);
    const [{ restartCount, containerID, state }] = status.containerStatuses;
    // The oldest child of the pod's shim; the others are commands that run in the container.
    const cgroup = `pod${metadata.uid}/main_`;
    const pid = (
      await machine.shell(
        `for pid in $(pgrep --parent $(pgrep -d, -x tessera-shim)); do ! grep -q '${cgroup}' /proc/$pid/cgroup || echo $pid; done | head -n 1`,
      )
    ).trim();
    assert.match(pid, /^\d+$/, `${name} has one first process`);
    return {
      process: await machine.shell(`cut -d ' ' -f 1,22 /proc/${pid}/stat`),
      cgroups: await machine.shell(`cat /proc/${pid}/cgroup`),
      startedAt: state.running?.startedAt,
      restarts: restartCount,
      containerID,
      uid: metadata.uid,
    };
  }

  async restartsOf(name: string): Promise<number> {
    return Number(await this.#installation.kubectl("get", "pod", name, "-o", "jsonpath={.status.containerStatuses[0].restartCount}"));
  }

  /** The number that a pod has come to. */
  async #lastLine(name: string): Promise<number> {
    // More than one line when another is written meanwhile.
    const line = (await this.#installation.kubectl("logs", name, "--tail=1")).trim().split("\n").at(-1) ?? "";
    assert.match(line, /^\d+$/, name);
    return Number(line);
  }
}

/** That the lines are 1, 2, 3 and so on. */
export function assertUnbroken(lines: readonly string[], what: string): void {
  const wrong = lines.findIndex((line, index) => line !== String(index + 1));
  assert.equal(wrong, -1, `${what}: line ${wrong + 1} is "${lines[wrong]}", after "${lines[wrong - 1]}"`);
}
