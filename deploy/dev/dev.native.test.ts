import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { listChildren } from "./cgroups.ts";
import { ClusterFolder, readCluster } from "./cluster-file.ts";
import { runCommand } from "./command.ts";
import { findLeaks } from "./doctor.ts";
import { downCluster } from "./down.ts";
import { readHostState, signalProcess } from "./host-process.ts";
import { readContexts } from "./kubeconfig.ts";
import { findLinks, findNatTables, hasAnyCluster } from "./network.ts";
import { homeMark } from "./plan.ts";
import { type DevSettings, silentProgress } from "./settings.ts";
import { type ClusterStatus, clusterStatus } from "./status.ts";
import { upCluster } from "./up.ts";

const here = dirname(fileURLToPath(import.meta.url));
const forwarding = () => readFile("/proc/sys/net/ipv4/ip_forward", "utf8");

describe("development clusters", () => {
  let settings: DevSettings;
  let forwardingBefore: string;
  let wasAlone: boolean;

  before(async () => {
    const dist = join(here, "../../dist");
    for (const program of ["controlplane.mjs", "agent.mjs", "tessera-host"]) {
      assert.ok(existsSync(join(dist, program)), `dist/${program} is missing: npm run build`);
    }
    const home = await mkdtemp(join(tmpdir(), "tessera-dev-"));
    settings = { home: join(home, "clusters"), dist, node: process.execPath, kubeconfig: join(home, "kubeconfig") };
    forwardingBefore = await forwarding();
    wasAlone = !(await hasAnyCluster());
  });
  after(async () => {
    // What a failed test left; a cluster that is down already costs nothing.
    for (const name of await readdir(settings.home).catch(() => [])) await down(name);
    await rm(dirname(settings.home), { recursive: true, force: true });
  });

  const up = async (name: string, nodes?: number) => await upCluster({ name, nodes, deadlineMs: 60_000 }, settings, silentProgress);
  const down = async (name: string) => await downCluster({ name }, settings, silentProgress);
  const status = async (name: string): Promise<ClusterStatus> => {
    const found = await clusterStatus(name, settings);
    assert.ok(found, `there is no cluster ${name}`);
    return found;
  };
  const assertNothingLeft = async () => {
    const mark = homeMark(settings.home);
    assert.deepEqual(await findLinks(mark), []);
    assert.deepEqual(await findNatTables(mark), []);
    const cgroups = (await listChildren("tessera-dev")).filter((id) => id.startsWith(mark));
    assert.deepEqual(cgroups, []);
    assert.equal(existsSync(settings.home), false, "the home folder is still there");
    assert.deepEqual(await readContexts(settings.kubeconfig), []);
    const running = await runCommand(["pgrep", "-f", "-a", settings.home]);
    assert.equal(running.stdout, "");
    if (wasAlone && !(await hasAnyCluster())) assert.equal(await forwarding(), forwardingBefore);
  };

  it("come up, stay as they are when told again, are repaired, and go without a trace", async () => {
    await up("whole", 1);
    const first = await status("whole");
    assert.equal(first.state, "Running", JSON.stringify(first.parts));
    assert.deepEqual(
      first.parts.map((part) => [part.name, part.state]),
      [
        ["controlplane", "Running"],
        ["etcd", "Running"],
        ["nats-server", "Running"],
        ["node-1", "Ready"],
        ["node-1 agent", "Running"],
      ],
    );
    for (const part of first.parts) {
      assert.ok(part.pid !== null && existsSync(`/proc/${part.pid}`), `${part.name} has no process ${part.pid}`);
      assert.ok(existsSync(part.dataFolder), `${part.name} has no folder ${part.dataFolder}`);
      assert.ok(existsSync(part.logFile), `${part.name} has no log ${part.logFile}`);
    }
    assert.deepEqual(await findLeaks({ name: "whole" }, settings), []);
    assert.deepEqual(await readContexts(settings.kubeconfig), ["tessera-whole"]);

    await up("whole");
    assert.deepEqual(await status("whole"), first);

    // A node that lost its power and a control plane that nobody watches over any more.
    const folder = new ClusterFolder(settings.home, "whole");
    for (const path of [folder.nodeState("node-1"), folder.controlPlaneState]) {
      const state = await readHostState(path);
      assert.ok(state);
      await signalProcess(state.self, "SIGKILL");
    }
    await up("whole", 2);
    const repaired = await status("whole");
    assert.equal(repaired.state, "Running", JSON.stringify(repaired.parts));
    assert.equal(repaired.parts.filter((part) => part.kind === "node").length, 2);
    assert.notEqual(repaired.parts.find((part) => part.name === "node-1")?.pid, first.parts.find((part) => part.name === "node-1")?.pid);

    assert.equal(await down("whole"), true);
    await assertNothingLeft();
    assert.equal(await down("whole"), false);
  });

  it("stand side by side, and one does not take the other down", async () => {
    const [a, b] = await Promise.all([up("a", 1), up("b", 1)]);
    for (const field of ["subnet", "bridge", "apiPort", "nodePort", "cgroup", "natTable"] as const)
      assert.notEqual(a[field], b[field], field);
    assert.equal(await down("a"), true);
    assert.equal((await status("b")).state, "Running");
    assert.deepEqual(await readContexts(settings.kubeconfig), ["tessera-b"]);
    assert.equal(await forwarding(), "1\n");
    await down("b");
    await assertNothingLeft();
  });

  it("do not choose the ports that one of another home folder is about to listen at", async () => {
    const other = { ...settings, home: join(dirname(settings.home), "other") };
    const child = upProcess("theirs", other);
    try {
      // Stopped between having chosen and listening.
      for await (const line of createInterface({ input: child.stdout })) if (line.startsWith("control plane")) break;
      child.kill("SIGSTOP");
      const theirs = await readCluster(new ClusterFolder(other.home, "theirs"));
      const ours = await up("ours", 1);
      const ports = [theirs?.apiPort, theirs?.nodePort, ours.apiPort, ours.nodePort];
      assert.equal(new Set(ports).size, 4, ports.join(", "));
      await down("ours");
    } finally {
      const ended = once(child, "close");
      child.kill("SIGKILL");
      await ended;
      await downCluster({ name: "theirs" }, other, silentProgress);
    }
    await assertNothingLeft();
  });

  for (const step of ["network", "control plane", "node-1", "waiting"]) {
    it(`that were killed while coming up ("${step}") go without a trace`, async () => {
      await killUpAt(step, "killed", settings);
      await down("killed");
      await assertNothingLeft();
    });
  }

  it("that were killed while coming up come up when told again", async () => {
    await killUpAt("node-1", "resumed", settings);
    await up("resumed", 1);
    assert.equal((await status("resumed")).state, "Running");
    await down("resumed");
    await assertNothingLeft();
  });

  it("whose links and cgroups outlived them are told by the doctor", async () => {
    const id = `${homeMark(settings.home)}fff`;
    await runCommand(["ip", "link", "add", `tsd-${id}`, "type", "bridge"]);
    try {
      const leaks = await findLeaks({ stableMs: 0 }, settings);
      assert.deepEqual(leaks, [{ where: "machine", kind: "link", name: `tsd-${id}`, podUid: "" }]);
    } finally {
      await runCommand(["ip", "link", "delete", `tsd-${id}`]);
    }
  });
});

/** `up` of a cluster with one node, as a process of its own that prints its steps. */
function upProcess(name: string, { home, dist, kubeconfig }: DevSettings): ChildProcessByStdio<null, Readable, null> {
  const program = join(here, "testing/up.ts");
  return spawn(process.execPath, [program, home, dist, kubeconfig, name, "1"], { stdio: ["ignore", "pipe", "inherit"] });
}

/** Starts `up` as a process of its own and kills it the moment it tells of a step. */
async function killUpAt(step: string, name: string, settings: DevSettings): Promise<void> {
  const child = upProcess(name, settings);
  const ended = new Promise((resolve) => child.once("close", resolve));
  let seen = false;
  for await (const line of createInterface({ input: child.stdout })) {
    if (seen || !line.startsWith(step)) continue;
    seen = true;
    child.kill("SIGKILL");
  }
  await ended;
  assert.ok(seen, `up never told of the step "${step}"`);
}
