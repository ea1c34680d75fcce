/** Releases on machines with systemd: installed, killed, upgraded, rebooted, uninstalled, one test after the other on the same machines. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { after, before, test } from "node:test";
import { exampleImage, until } from "../harness/cluster.ts";
import { Installation, releaseFolder, versions } from "./installation.ts";
import type { Machine } from "./machine.ts";
import { differences, type MachineState, readMachineState } from "./machine-state.ts";

let installation: Installation;
const clean = new Map<Machine, MachineState>();

before(async () => {
  installation = await Installation.make();
});
after(async () => await installation?.[Symbol.asyncDispose]());

const install = (machine: Machine, ...args: string[]) =>
  machine.run([`${releaseFolder(versions.first)}/install.sh`, ...args], { timeoutMs: 120_000 });

async function installOk(machine: Machine, version: string, ...args: string[]): Promise<string> {
  return await machine.runOk([`${releaseFolder(version)}/install.sh`, ...args], { timeoutMs: 120_000 });
}

/** One pod on each node that counts, tenfold a second, and heeds a polite end. */
const counter = (index: number) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: `counter-${index}` },
  spec: {
    nodeName: installation.nodes[index]?.options.name,
    containers: [
      {
        name: "main",
        image: exampleImage,
        command: ["sh", "-c", `: counter-${index}; trap 'exit 0' TERM; n=0; while :; do n=$((n + 1)); echo $n; sleep 0.1 & wait $!; done`],
        resources: { limits: { memory: "64Mi" } },
      },
    ],
  },
});

/** What of a pod would be another if anything had ended it, as the kernel and as the API see it. */
async function lifeOf(index: number): Promise<{ process: string; cgroups: string; restarts: number; containerID: string; uid: string }> {
  const machine = installation.nodes[index];
  assert.ok(machine);
  const pid = (await machine.shell(`pgrep -o -f '^sh -c : counter-${index};'`)).trim();
  const { metadata, status } = JSON.parse(await installation.kubectl("get", "pod", `counter-${index}`, "-o", "json"));
  const [{ restartCount, containerID }] = status.containerStatuses;
  return {
    process: await machine.shell(`cut -d ' ' -f 1,22 /proc/${pid}/stat`),
    cgroups: await machine.shell(`cat /proc/${pid}/cgroup`),
    restarts: restartCount,
    containerID,
    uid: metadata.uid,
  };
}

async function count(index: number): Promise<number> {
  // More than one when another is written meanwhile.
  const lines = (await installation.kubectl("logs", `counter-${index}`, "--tail=1")).trim().split("\n");
  assert.match(lines.at(-1) ?? "", /^\d+$/);
  return Number(lines.at(-1));
}

/** Runs what must not touch pods: they live on, go on counting, and have missed nothing. */
async function unnoticed(disturb: () => Promise<void>): Promise<void> {
  const indices = [...installation.nodes.keys()];
  const before = await Promise.all(indices.map(async (index) => ({ life: await lifeOf(index), count: await count(index) })));
  await disturb();
  await installation.awaitNodes();
  for (const index of indices) {
    assert.deepEqual(await lifeOf(index), before[index]?.life);
    await until(`counter-${index} counts`, async () => ((await count(index)) > (before[index]?.count ?? 0) ? true : undefined));
    const lines = (await installation.kubectl("logs", `counter-${index}`)).trim().split("\n").map(Number);
    assert.deepEqual(
      lines,
      Array.from(lines, (_, line) => line + 1),
      "no line is missing",
    );
  }
}

const mainPid = async (machine: Machine, unit: string) =>
  (await machine.runOk(["systemctl", "show", "--property=MainPID", "--value", unit])).trim();

/** Kills all that systemd counts among the service, and waits until it is up again. */
async function kill(machine: Machine, unit: string): Promise<void> {
  const old = await mainPid(machine, unit);
  await machine.runOk(["systemctl", "kill", "--signal=KILL", unit]);
  await until(`${unit} again`, async () => {
    const { stdout } = await machine.run(["systemctl", "is-active", unit]);
    return stdout.trim() === "active" && (await mainPid(machine, unit)) !== old ? true : undefined;
  });
}

test("a machine that will not do is told why, all reasons at once, and nothing is touched", async () => {
  const [machine] = installation.nodes;
  assert.ok(machine);
  for (const one of installation.machines) clean.set(one, await readMachineState(one));
  const refused = async (reason: RegExp, script: string) => {
    const { code, stderr } = await machine.run(["sh", "-c", script], { timeoutMs: 60_000 });
    assert.equal(code, 1, stderr);
    assert.match(stderr, reason);
  };
  const release = releaseFolder(versions.first);
  const join = "agent --join 10.0.0.1:6443 --token a --ca-hash b";
  await refused(/must run as root/, `setpriv --reuid=65534 --clear-groups ${release}/install.sh control-plane`);
  await refused(/nothing is installed that could be upgraded/, `${release}/install.sh upgrade`);
  await refused(/agent needs --join HOST:PORT/, `${release}/install.sh agent`);
  await refused(/agent needs --token and --ca-hash/, `${release}/install.sh agent --join 10.0.0.1:6443`);
  await refused(/--join: "10\.0\.0\.1" is not HOST:PORT/, `${release}/install.sh agent --join 10.0.0.1`);
  await refused(/say --yes to do it/, `${release}/install.sh uninstall`);
  // A copy that may be broken: everything but the large programs.
  const copy = "/root/copy";
  await machine.shell(
    `mkdir ${copy}; cd ${release}; tar -cf - --exclude=./bin/node --exclude=./bin/etcd --exclude=./bin/nats-server . | tar -xf - -C ${copy}`,
  );
  await refused(/is damaged[\s\S]*bin\/node: FAILED open or read/, `${copy}/install.sh ${join}`);
  await machine.shell(`cd ${copy}; grep -v ' bin/' SHA256SUMS >new; mv new SHA256SUMS; echo >>lib/agent.mjs`);
  await refused(/is damaged[\s\S]*lib\/agent\.mjs: FAILED/, `${copy}/install.sh ${join}`);
  await machine.shell(`cd ${copy}; sed -i '/agent.mjs/d; /ARCHITECTURE/d' SHA256SUMS; echo s390x >ARCHITECTURE`);
  await refused(/this release is for s390x, the machine is/, `${copy}/install.sh ${join}`);
  await machine.shell(`rm ${copy}/VERSION`);
  await refused(/is no unpacked release.*VERSION cannot be read/, `${copy}/install.sh ${join}`);
  await machine.shell(`rm -r ${copy}`);
  const listen = `${release}/bin/node -e 'net.createServer().listen(6443, () => console.log("up"))' >/run/up & while [ ! -s /run/up ]; do sleep 0.05; done`;
  const both = /port 6443 is taken[\s\S]*setpriv/;
  await refused(
    both,
    `${listen}; mount --bind /dev/null /usr/bin/setpriv; ${release}/install.sh control-plane; code=$?; umount /usr/bin/setpriv; kill $!; rm /run/up; exit $code`,
  );
  assert.deepEqual(differences(clean.get(machine), await readMachineState(machine)), []);
});

test("a control plane and two nodes are installed and joined, and run pods", async () => {
  await installOk(installation.controlPlane, versions.first, "control-plane");
  const { server, token, caHash } = JSON.parse(await installation.tsctl("join-token", "create", "--reusable", "-o", "json"));
  assert.equal(server, `${installation.controlPlane.ip}:6443`);
  const [first] = installation.nodes;
  assert.ok(first);
  const wrong = await install(first, "agent", "--join", server, "--token", "aaaaaa.aaaaaaaaaaaaaaaa", "--ca-hash", caHash);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /refuses:[\s\S]*did not become a node; nothing was installed/);
  await Promise.all(
    installation.nodes.map((node) => installOk(node, versions.first, "agent", "--join", server, "--token", token, "--ca-hash", caHash)),
  );
  await installation.awaitNodes();
  await installation.tsctl("image", "load", resolve(import.meta.dirname, "../../dist/busybox.tar"));
  for (const index of installation.nodes.keys()) await applyPod(counter(index));
  await installation.kubectl("wait", "--for=condition=Ready", "--timeout=30s", "pod/counter-0", "pod/counter-1");
  // Nodes reach each other's pods, too.
  const ip = await installation.kubectl("get", "pod", "counter-1", "-o", "jsonpath={.status.podIP}");
  await installation.kubectl("exec", "counter-0", "--", "ping", "-c", "1", "-W", "5", ip);
});

async function applyPod(pod: object): Promise<void> {
  await installation.kubectlWith(JSON.stringify(pod), "apply", "-f", "-");
}

test("installing again changes nothing", async () => {
  const [node] = installation.nodes;
  assert.ok(node);
  const units = async () => [await mainPid(installation.controlPlane, "tessera-controlplane"), await mainPid(node, "tessera-agent")];
  const before = await units();
  await unnoticed(async () => {
    await installOk(installation.controlPlane, versions.first, "control-plane");
    await installOk(node, versions.first, "agent");
  });
  assert.deepEqual(await units(), before);
});

test("no pod notices that an agent or the control plane is restarted or killed, or systemd executed anew", async () => {
  const [first, second] = installation.nodes;
  assert.ok(first && second);
  await unnoticed(async () => {
    await first.runOk(["systemctl", "restart", "tessera-agent"]);
    await kill(second, "tessera-agent.service");
  });
  await unnoticed(async () => {
    await first.runOk(["systemctl", "daemon-reexec"]);
    await kill(installation.controlPlane, "tessera-controlplane.service");
    await kill(first, "tessera-agent.service");
  });
  await unnoticed(async () => void (await installation.controlPlane.runOk(["systemctl", "restart", "tessera-controlplane"])));
  for (const node of installation.nodes) {
    const log = await node.runOk(["journalctl", "--boot", "--quiet", "--unit=tessera-agent", "--unit=tessera-pods"]);
    // On v1 systemd tries to remove what it thinks is not delegated, of controllers that are in use.
    assert.doesNotMatch(log, /left-over process|still around|Failed to (?!delete controller cgroups)/);
  }
});

test("no pod notices an upgrade in place, nor a release that does not start", async () => {
  await unnoticed(async () => {
    for (const machine of installation.machines) await installOk(machine, versions.second, "upgrade");
  });
  const kubelets = await installation.kubectl("get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}");
  assert.deepEqual(kubelets.split(" "), Array(2).fill(`v1.36.0-tessera.${versions.second}`));
  for (const machine of installation.machines)
    assert.deepEqual((await machine.shell("ls /usr/lib/tessera")).trim().split("\n"), [versions.second, "current"]);

  const [node] = installation.nodes;
  assert.ok(node);
  await unnoticed(async () => {
    await node.shell(`
      cp -a ${releaseFolder(versions.first)} /root/broken; cd /root/broken
      echo 0.0.1-broken >VERSION
      printf '#!/bin/sh\\necho this release is broken >&2\\nexit 1\\n' >bin/agent
      sed -i '/ VERSION$/d; / bin\\/agent$/d' SHA256SUMS; sha256sum VERSION bin/agent >>SHA256SUMS`);
    const { code, stderr, stdout } = await node.run(["/root/broken/install.sh", "upgrade"], { timeoutMs: 120_000 });
    assert.equal(code, 1);
    assert.match(stderr, /tessera-agent\.service does not get ready[\s\S]*this release is broken/);
    assert.match(stdout, new RegExp(`going back to version ${versions.second}`));
    await node.shell("rm -r /root/broken");
  });
  assert.equal((await node.shell("readlink /usr/lib/tessera/current")).trim(), versions.second);
});

test("pods come back when their machine boots anew", async () => {
  const [node] = installation.nodes;
  assert.ok(node);
  const before = await lifeOf(0);
  await node.reboot();
  await installation.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "--timeout=60s", "pod/counter-0");
  await installation.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod/counter-0");
  const life = await lifeOf(0);
  assert.equal(life.uid, before.uid);
  assert.notEqual(life.containerID, before.containerID);
});

test("an uninstall ends the pods and leaves nothing", async () => {
  const machines = [...installation.nodes, installation.controlPlane];
  for (const machine of machines) await machine.runOk(["/usr/lib/tessera/current/install.sh", "uninstall", "--yes"], { timeoutMs: 90_000 });
  for (const machine of machines) assert.deepEqual(differences(clean.get(machine), await readMachineState(machine)), []);
});
