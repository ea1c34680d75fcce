import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { listProcesses, readHierarchies, removeCgroup, removeEmptyCgroup } from "./cgroups.ts";
import { mustRun, runCommand } from "./command.ts";
import { endProcess, type HostState, isAlive, readHostState, readNamespace, readStat, signalProcess, startHost } from "./host-process.ts";
import { waitFor } from "./wait.ts";

const program = join(dirname(fileURLToPath(import.meta.url)), "../../dist/tessera-host");
const cgroup = `tessera-dev-test/${process.pid}`;

describe("tessera-host", () => {
  let folder: string;
  let statePath: string;
  let logPath: string;

  before(() => assert.ok(existsSync(program), `${program} is missing: make -C deploy/dev OUT=../../dist`));
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "tessera-host-"));
    statePath = join(folder, "host.json");
    logPath = join(folder, "log");
    await mkdir(join(folder, "data"));
  });
  after(async () => await removeEmptyCgroup("tessera-dev-test"));

  const start = async (kind: "node" | "service", script: string, options: readonly string[] = []): Promise<HostState> => {
    const own = kind === "node" ? ["--name", "node-7", ...options] : options;
    await startHost({ program, kind, cgroup, statePath, logPath, options: own, command: ["sh", "-c", script] });
    return await nextState(() => true);
  };
  const nextState = async (wanted: (state: HostState) => boolean): Promise<HostState> => {
    const state = await waitFor(
      async () => {
        const seen = await readHostState(statePath);
        return seen !== undefined && wanted(seen) ? seen : undefined;
      },
      { deadlineMs: 30_000 },
    );
    assert.ok(state, `the state file never showed what was waited for; the log: ${await readFile(logPath, "utf8").catch(String)}`);
    return state;
  };
  const logged = async (pattern: RegExp): Promise<RegExpMatchArray> => {
    const found = await waitFor(async () => (await readFile(logPath, "utf8").catch(() => "")).match(pattern) ?? undefined, {
      deadlineMs: 30_000,
    });
    assert.ok(found, `the log never said ${pattern}: ${await readFile(logPath, "utf8").catch(String)}`);
    return found;
  };
  const tearDown = async () => {
    const state = await readHostState(statePath);
    if (state !== undefined) await endProcess(state.self, 5000);
    await removeCgroup(cgroup);
    await rm(folder, { recursive: true });
  };

  it("reads the cgroup mounts of all kinds of machines", async (t) => {
    t.after(async () => await rm(folder, { recursive: true }));
    await mustRun(["make", "--silent", "-C", import.meta.dirname, "test", `BUILD=${folder}/build`]);
  });

  it("gives a node namespaces of its own, and leaves the machine's mounts alone", async (t) => {
    t.after(tearDown);
    const before = await readFile("/proc/self/mountinfo", "utf8");
    await writeFile(join(folder, "data", "mine"), "data of the node");
    const state = await start("node", 'echo "$(hostname) $$ $(cat /var/lib/tessera/mine)"; exec sleep 1000', [
      ...["--bind", `${folder}/data:/var/lib/tessera`],
      ...["--tmpfs", "/run/tessera"],
    ]);
    await logged(/^node-7 2 data of the node$/m);
    for (const kind of ["net", "mnt", "pid", "uts", "ipc", "cgroup"] as const) {
      const own = await readNamespace(state.self.pid, kind);
      assert.ok(own, `no ${kind} namespace of pid ${state.self.pid}`);
      assert.notEqual(own, await readNamespace(process.pid, kind), `${kind} is the machine's`);
    }
    assert.equal(await readFile("/proc/self/mountinfo", "utf8"), before);
  });

  it("shows a node its own cgroup as the root of every hierarchy, and lets it make children with limits there", async (t) => {
    t.after(tearDown);
    await start(
      "node",
      "cat /proc/self/cgroup; for d in $(find /sys/fs/cgroup -maxdepth 1 -mindepth 1 -type d); do mkdir -p $d/pod1; done; echo made; exec sleep 1000",
    );
    await logged(/^made$/m);
    const roots = (await readFile(logPath, "utf8")).match(/^\d+:[^:]*:(.*)$/gm) ?? [];
    assert.ok(roots.length > 0);
    for (const line of roots) assert.match(line, /:\/(init)?$/, "the node sees a path above its own cgroup");
    for (const mount of await readHierarchies()) {
      if (mount === "/sys/fs/cgroup") continue;
      assert.ok(existsSync(join(mount, cgroup, "pod1")), `pod1 of ${mount} is not in the node's cgroup`);
    }
  });

  it("starts the command only once the awaited link has an address", async (t) => {
    t.after(tearDown);
    const { self } = await start("node", "echo started; exec sleep 1000", ["--await-address", "eth0"]);
    const net = ["nsenter", `--net=/proc/${self.pid}/ns/net`, "ip"] as const;
    await mustRun([...net, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1"]);
    assert.equal((await readHostState(statePath))?.starts, 0);
    await mustRun([...net, "address", "add", "192.0.2.77/32", "dev", "eth0"]);
    await logged(/^started$/m);
  });

  it("starts a command that was killed again, and knows both by the machine's pids", async (t) => {
    t.after(tearDown);
    await start("node", "exec sleep 1000");
    const first = await nextState((state) => state.command !== undefined);
    assert.equal((await readStat(first.command?.pid ?? 0))?.name, "sleep");
    if (first.command) await signalProcess(first.command, "SIGKILL");
    const second = await nextState((state) => state.starts === 2 && state.command !== undefined);
    assert.deepEqual(second.self, first.self);
    assert.notEqual(second.command?.pid, first.command?.pid);
    await logged(/ended by signal 9, starting it again in 100 ms/);
  });

  it("reaps the orphans of a node", async (t) => {
    t.after(tearDown);
    const { self } = await start("node", "for i in 1 2 3 4 5; do sh -c 'sleep 0.0$0 & exit 0' $i; done; echo orphaned; exec sleep 1000");
    await logged(/^orphaned$/m);
    const alone = await waitFor(async () => ((await listProcesses(cgroup)).length === 2 ? true : undefined), { deadlineMs: 30_000 });
    assert.ok(alone, `more than init and its command are left: ${await listProcesses(cgroup)}`);
    const children = (await readFile(`/proc/${self.pid}/task/${self.pid}/children`, "utf8")).trim().split(" ");
    assert.equal(children.length, 1, `zombies among ${children}`);
  });

  it("ends everything in a node on TERM, also what ignores TERM", async (t) => {
    t.after(tearDown);
    const { self } = await start("node", "trap '' TERM; setsid sleep 1001 & echo ready; wait; wait", ["--grace", "100"]);
    await logged(/^ready$/m);
    const pids = await listProcesses(cgroup);
    assert.ok(pids.length >= 3);
    await signalProcess(self, "SIGTERM");
    assert.ok(await waitFor(async () => ((await isAlive(self)) ? undefined : true), { deadlineMs: 30_000 }), "init outlived TERM");
    assert.deepEqual(await listProcesses(cgroup), []);
    assert.equal(existsSync(statePath), false, "the state file speaks of a process that is gone");
  });

  it("gives a command that ends on TERM the time to do so", async (t) => {
    t.after(tearDown);
    const { self } = await start("service", "trap 'sleep 0.2; echo tidied up; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    await logged(/^ready$/m);
    await endProcess(self, 5000);
    await logged(/^tidied up$/m);
  });

  it("ends what a killed service left behind before it starts it again", async (t) => {
    t.after(tearDown);
    await start("service", "sleep 1002 & echo child $!; wait");
    const first = await nextState((state) => state.command !== undefined);
    const [, child] = await logged(/^child (\d+)$/m);
    if (first.command) await signalProcess(first.command, "SIGKILL");
    await logged(/child \d+\n(.*\n)*child \d+/m);
    assert.equal(await readStat(Number(child)), undefined, "the first command's child still runs");
  });

  it("ends the service when its supervisor is killed", async (t) => {
    t.after(tearDown);
    await start("service", "exec sleep 1003");
    const { self, command } = await nextState((state) => state.command !== undefined);
    assert.ok(command);
    await signalProcess(self, "SIGKILL");
    assert.ok(await waitFor(async () => ((await isAlive(command)) ? undefined : true), { deadlineMs: 30_000 }), "it runs on unwatched");
  });

  for (const [sentence, args, said] of [
    ["no kind", [], /the first word must be "node" or "service"/],
    ["no name", ["node", "--cgroup", "a", "--state", "/tmp/s", "--log", "/tmp/l", "--", "true"], /--name must be a host name/],
    [
      "a cgroup outside",
      ["service", "--cgroup", "../a", "--state", "/tmp/s", "--log", "/tmp/l", "--", "true"],
      /--cgroup must be a relative path/,
    ],
    [
      "a folder that is missing",
      ["service", "--cgroup", cgroup, "--state", "/nowhere/s", "--log", "/tmp/l", "--", "true"],
      /open the folder of \/nowhere\/s: No such file/,
    ],
    ["no command", ["service", "--cgroup", "a", "--state", "/tmp/s", "--log", "/tmp/l"], /no command given/],
  ] as const) {
    it(`refuses ${sentence}`, async (t) => {
      t.after(tearDown);
      const result = await runCommand([program, ...args]);
      assert.equal(result.code, 1);
      assert.match(result.stderr, said);
    });
  }

  it("says which mount of a node failed, and leaves no process", async (t) => {
    t.after(tearDown);
    await assert.rejects(
      start("node", "true", ["--bind", `${folder}/missing:/var/lib/tessera`]),
      /bind .*\/missing at \/var\/lib\/tessera: No such file/,
    );
    const gone = await waitFor(async () => ((await listProcesses(cgroup)).length === 0 ? true : undefined), { deadlineMs: 30_000 });
    assert.ok(gone, `left: ${await listProcesses(cgroup)}`);
  });
});
