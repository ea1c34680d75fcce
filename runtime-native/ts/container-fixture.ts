/** What the tests of one container after another in one pod share. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { Node } from "./native-runtime-fixture.ts";
import { type ContainerSpec, type Mount, RuntimeError, type RuntimeErrorReason } from "./runtime.ts";

/** What a container of a test wrote, and how it ended. */
export interface Ran {
  readonly text: string;
  readonly exitCode: number;
  readonly id: string;
}

export function bind(source: string, destination: string, changes: Partial<Mount> = {}): Mount {
  return { type: "bind", source, destination, readOnly: false, recursive: true, propagation: "private", ...changes };
}

/** A pod in a network namespace of its own, there from the first test of the file to the last. */
export function podForTests() {
  const node = new Node();
  const runtime = node.agent();
  const signal = AbortSignal.timeout(600_000);
  const netns = `tsrt${process.pid}`;
  const pod = node.sandbox({
    network: { kind: "netns", path: `/run/netns/${netns}` },
    sysctls: { "net.ipv4.ip_default_ttl": "77", "kernel.shmmni": "123" },
  });
  let count = 0;
  let shimPid = 0;

  before(async () => {
    execFileSync("ip", ["netns", "add", netns]);
    execFileSync("ip", ["-n", netns, "link", "set", "lo", "up"]);
    shimPid = (await runtime.createSandbox(pod, signal)).pid;
  });
  after(async () => {
    await runtime.removeSandbox(pod.id);
    execFileSync("ip", ["netns", "del", netns]);
    await node.close();
  });

  /** A name that no container of the pod has had. */
  const nextId = () => `c${++count}`;

  return {
    node,
    runtime,
    signal,
    pod,
    nextId,
    shimPid: () => shimPid,

    /** Runs a command to its end and returns what it wrote. */
    async run(command: string | string[], changes: Partial<ContainerSpec> = {}): Promise<Ran> {
      const id = nextId();
      await runtime.startContainer(pod.id, node.container(id, command, changes), signal);
      const exit = await node.exit(id);
      await runtime.removeContainer(pod.id, id);
      return { text: node.output(id), exitCode: exit.exitCode, id };
    },

    async assertRefused(
      reason: RuntimeErrorReason,
      message: RegExp,
      command: string | string[],
      changes: Partial<ContainerSpec> = {},
    ): Promise<void> {
      const id = nextId();
      await assert.rejects(runtime.startContainer(pod.id, node.container(id, command, changes), signal), (error) => {
        assert.ok(error instanceof RuntimeError);
        assert.equal(error.reason, reason, error.message);
        assert.match(error.message, message);
        return true;
      });
      assert.ok(!(await node.library.listCgroups(pod.cgroup)).includes(id), "no cgroup of it stays");
    },

    /** A folder on the node, or a file with this content. */
    host(name: string, content?: string): string {
      const path = join(node.folder, "host", name);
      mkdirSync(join(path, ".."), { recursive: true });
      if (content === undefined) mkdirSync(path, { recursive: true });
      else writeFileSync(path, content);
      return path;
    },
  };
}
