/** Releases on machines with systemd: installed, killed, upgraded, rebooted, uninstalled, one test after the other on the same machines. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { after, before, test } from "node:test";
import { until } from "../harness/cluster.ts";
import { readCertificates, shownSerial } from "./certificates.ts";
import { Installation, releaseFolder, versions } from "./installation.ts";
import type { Machine } from "./machine.ts";
import { differences, kinds, type MachineState, readMachineState, withLeftovers } from "./machine-state.ts";
import { provoke, refusals } from "./refusals.ts";
import { assertUnbroken, Witnesses } from "./witnesses.ts";

let installation: Installation;
let witnesses: Witnesses;
const clean = new Map<Machine, MachineState>();

before(async () => {
  installation = await Installation.make();
  witnesses = new Witnesses(installation);
});
after(async () => await installation?.[Symbol.asyncDispose]());

const install = (machine: Machine, ...args: string[]) =>
  machine.run([`${releaseFolder(versions.first)}/install.sh`, ...args], { timeoutMs: 120_000 });

async function installOk(machine: Machine, version: string, ...args: string[]): Promise<string> {
  return await machine.runOk([`${releaseFolder(version)}/install.sh`, ...args], { timeoutMs: 120_000 });
}

/** Runs what must not touch pods. */
const unnoticed = (disturb: () => Promise<void>): Promise<void> => witnesses.unnoticed(disturb);

/** The command of the archive, as its INSTALL.md has it used. */
const tsctlOfRelease = (...args: string[]) =>
  installation.controlPlane.runOk(["env", "KUBECONFIG=/var/lib/tessera-controlplane/admin.kubeconfig", "tsctl", ...args]);

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

test("a machine that will not do is told why, all reasons at once, and nothing is touched", async (t) => {
  const [machine] = installation.nodes;
  assert.ok(machine);
  for (const one of installation.machines) clean.set(one, await readMachineState(one));
  await withLeftovers(machine, async () => {
    const found = differences(clean.get(machine), await readMachineState(machine));
    assert.deepEqual(
      kinds.filter((kind) => !found.some((difference) => difference.startsWith(`${kind}: + `))),
      [],
      "what is left would be seen",
    );
  });
  for (const refusal of refusals)
    await t.test(refusal.name, async () => {
      const { code, stdout, stderr } = await provoke(machine, releaseFolder(versions.first), refusal);
      for (const reason of refusal.reasons) assert.match(stderr, reason);
      assert.equal(code, 1, stderr);
      assert.equal(stdout, "");
    });
  assert.deepEqual(differences(clean.get(machine), await readMachineState(machine)), []);
});

/** Runs the release's installer until it runs that command, which is killed with all of it. */
async function killInstaller(machine: Machine, version: string, killed: string, ...args: string[]): Promise<void> {
  const [program = "", ...words] = killed.split(" ");
  const script = `
    mkdir /run/killer; cd /run/killer
    printf '%s\n' '#!/bin/sh' 'case "$*" in "${words.join(" ")}"*) kill -s KILL 0 ;; esac' 'exec "/usr/bin/${program}" "$@"' >${program}
    chmod 755 ${program}
    code=0; PATH=/run/killer:$PATH setsid --wait ${releaseFolder(version)}/install.sh "$@" || code=$?
    rm -r /run/killer; exit $code`;
  const { code, stderr } = await machine.run(["sh", "-euc", script, "sh", ...args], { timeoutMs: 60_000 });
  assert.equal(code, 137, `${killed}: ${stderr}`);
}

test("an installer that is killed half way leaves what an uninstall removes, and what the next one completes", async () => {
  const { controlPlane } = installation;
  await killInstaller(controlPlane, versions.first, "tar -xf", "control-plane");
  assert.notDeepEqual(differences(clean.get(controlPlane), await readMachineState(controlPlane)), []);
  await installOk(controlPlane, versions.first, "uninstall", "--yes");
  assert.deepEqual(differences(clean.get(controlPlane), await readMachineState(controlPlane)), []);
  for (const killed of ["mv -T", "systemd-sysusers", "systemctl -q enable"])
    await killInstaller(controlPlane, versions.first, killed, "control-plane");
  await installOk(controlPlane, versions.first, "uninstall", "--yes");
  assert.deepEqual(differences(clean.get(controlPlane), await readMachineState(controlPlane)), []);
  await killInstaller(controlPlane, versions.first, "systemctl daemon-reload", "control-plane");
});

/** With which a machine becomes a node of the installed cluster. */
let joinFlags: readonly string[] = [];

/** Of the certificates that are made while the machines are installed: they are renewed while the first pods run. */
const shortLives = ["--certificate-lifetime", "60s", "--node-certificate-lifetime", "60s"];

test("a control plane and two nodes are installed and joined, and run pods", async () => {
  await installOk(installation.controlPlane, versions.first, "control-plane", "--", ...shortLives);
  const { server, token, caHash } = JSON.parse(await tsctlOfRelease("join-token", "create", "--reusable", "-o", "json"));
  assert.equal(server, `${installation.controlPlane.ip}:6443`);
  joinFlags = ["--join", server, "--token", token, "--ca-hash", caHash];
  const [first] = installation.nodes;
  assert.ok(first);
  const wrong = await install(first, "agent", "--join", server, "--token", "aaaaaa.aaaaaaaaaaaaaaaa", "--ca-hash", caHash);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /refuses:[\s\S]*did not become a node; nothing was installed/);
  assert.deepEqual(differences(clean.get(first), await readMachineState(first)), []);
  await killInstaller(first, versions.first, "systemctl -q enable", "agent", ...joinFlags);
  await Promise.all(installation.nodes.map((node) => installOk(node, versions.first, "agent", ...joinFlags)));
  // What is renewed from now on lives as long as it usually does.
  await installOk(installation.controlPlane, versions.first, "control-plane", "--listen", "0.0.0.0:6443");
  await installation.awaitNodes();
  const image = resolve(import.meta.dirname, "../../dist/busybox.tar");
  // Nodes are ready for some seconds yet when the control plane starts anew, before their agents have dialled it again.
  await until("the image on all nodes", () => installation.tsctl("image", "load", image), 60_000);
  await witnesses.start();
});

test("all certificates are renewed while everything runs, and no session notices", async () => {
  const { controlPlane } = installation;
  const processes = () => controlPlane.shell("systemctl show --property=MainPID --value tessera-controlplane; pgrep 'etcd|nats-server'");
  const before = await processes();
  await using echo = installation.companion("exec", "-i", "counter-0", "--", "cat");
  await using log = installation.companion("logs", "--follow", "counter-1");
  await using watch = installation.companion("get", "pods", "--watch", "--show-labels");
  echo.say("before");
  await echo.hears("an echo", (text) => text === "before\n");
  await unnoticed(async () => {
    await until(
      "certificates for a year",
      async () => {
        const ends = [...(await readCertificates(installation)).values()].map(({ validTo }) => Date.parse(validTo));
        return Math.min(...ends) > Date.now() + 300 * 86_400_000 ? true : undefined;
      },
      120_000,
    );
  });
  assert.equal(await processes(), before);
  const files = await readCertificates(installation);
  const server = files.get(`${controlPlane.options.name}:/var/lib/tessera-controlplane/pki/server.crt`);
  for (const port of [6443, 6444]) assert.equal(await shownSerial(controlPlane.ip, port), server?.serialNumber, `port ${port}`);
  echo.say("after");
  await echo.hears("an echo", (text) => text === "before\nafter\n");
  const lines = () => log.stdout.split("\n").slice(0, -1);
  const seen = lines().length;
  await log.hears("another line", () => lines().length > seen);
  assertUnbroken(lines(), "counter-1");
  await installation.kubectl("label", "pod", "counter-0", "certificates=renewed");
  await watch.hears("a label", (text) => text.includes("certificates=renewed"));
  assert.equal(await installation.kubectl("exec", "counter-1", "--", "echo", "new session"), "new session\n");
});

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
  const [interrupted] = installation.nodes;
  assert.ok(interrupted);
  await unnoticed(async () => {
    // The next run makes up for what this one has changed and not restarted.
    await killInstaller(interrupted, versions.second, "systemctl -q enable", "upgrade");
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
  assert.deepEqual((await node.shell("ls /usr/lib/tessera; readlink /usr/lib/tessera/current")).split("\n"), [
    versions.second,
    "current",
    versions.second,
    "",
  ]);
});

test("flags that the control plane does not start with are taken back", async () => {
  const { controlPlane } = installation;
  const flags = () => controlPlane.shell("ls /etc/tessera; cat /etc/tessera/controlplane.env");
  const before = await flags();
  await unnoticed(async () => {
    const nowhere = ["control-plane", "--listen", "192.0.2.1:6443"];
    const { code, stderr, stdout } = await controlPlane.run([`${releaseFolder(versions.second)}/install.sh`, ...nowhere]);
    assert.equal(code, 1);
    assert.match(stderr, /tessera-controlplane\.service does not get ready[\s\S]*192\.0\.2\.1/);
    assert.match(stdout, /going back to the flags that controlplane had/);
  });
  assert.equal(await flags(), before);
});

/** That kernel and disk of the node hold nothing of a pod that it does not have. */
async function assertNothingLeaks(node: Machine): Promise<void> {
  const inventory = ["/usr/lib/tessera/current/bin/agent", "inventory", "--cgroup-root", "tessera-pods.service"];
  const { items } = JSON.parse(await node.runOk(inventory)) as { items: readonly { readonly podUid: string }[] };
  const selector = `--field-selector=spec.nodeName=${node.options.name}`;
  const uids = (await installation.kubectl("get", "pods", selector, "-o", "jsonpath={.items[*].metadata.uid}")).split(" ");
  assert.ok(items.length > 0, "the node has pods");
  assert.deepEqual(
    items.filter(({ podUid }) => !uids.includes(podUid)),
    [],
  );
}

test("a stop of the pods' unit ends each pod in its own time, and a kill of it brings them back", async () => {
  const [, node] = installation.nodes;
  assert.ok(node);
  const loop = "while :; do sleep 0.1; done";
  await witnesses.apply("hurry", node, `trap : TERM; ${loop}`, { terminationGracePeriodSeconds: 1 });
  await witnesses.apply("patient", node, `trap 'sleep 4; exit 7' TERM; ${loop}`, { terminationGracePeriodSeconds: 100 });
  await installation.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod/hurry", "pod/patient");
  await node.runOk(["systemctl", "stop", "tessera-pods"]);
  await node.runOk(["systemctl", "start", "tessera-agent"]);
  const end = async (name: string) => {
    const ends = ["exitCode", "finishedAt"].map((field) => `{.status.containerStatuses[0].lastState.terminated.${field}}`);
    const said = await until(`${name} runs again`, async () => {
      const [exitCode, finishedAt] = (await installation.kubectl("get", "pod", name, "-o", `jsonpath=${ends.join(" ")}`)).split(" ");
      return finishedAt ? { exitCode: Number(exitCode), finishedAt } : undefined;
    });
    return said;
  };
  const [hurry, patient, counter] = [await end("hurry"), await end("patient"), await end("counter-1")];
  assert.deepEqual([hurry.exitCode, patient.exitCode, counter.exitCode], [137, 7, 0]);
  assert.ok(hurry.finishedAt < patient.finishedAt, `${hurry.finishedAt} is before ${patient.finishedAt}`);

  const ready = () => installation.kubectl("wait", "--for=condition=Ready", "--timeout=90s", "pod/counter-1");
  await ready();
  const before = await witnesses.lifeOf("counter-1");
  await node.runOk(["systemctl", "kill", "--signal=KILL", "tessera-pods"]);
  await until("counter-1 has ended", async () => ((await witnesses.restartsOf("counter-1")) > before.restarts ? true : undefined), 90_000);
  await ready();
  assert.match((await witnesses.lifeOf("counter-1")).cgroups, /tessera-pods\.service\/pod/);
  await installation.kubectl("delete", "pod", "hurry", "patient", "--grace-period=1", "--timeout=60s");
  await assertNothingLeaks(node);
});

test("the services are confined as far as what they do allows", async () => {
  const [node] = installation.nodes;
  assert.ok(node);
  // A tenth of systemd's points each; for the agent, see its unit.
  for (const [machine, unit, exposure] of [
    [installation.controlPlane, "tessera-controlplane.service", 14],
    [node, "tessera-pods.service", 43],
  ] as const)
    await machine.runOk(["systemd-analyze", "--no-pager", "security", `--threshold=${exposure}`, unit]);
  for (const [machine, unit] of [
    [installation.controlPlane, "tessera-controlplane.service"],
    [node, "tessera-agent.service"],
    [node, "tessera-pods.service"],
  ] as const)
    assert.equal((await machine.run(["systemd-analyze", "verify", `/etc/systemd/system/${unit}`])).stderr, "");
  // With cgroup v1 systemd leaves the pods' cgroups alone without it too; with v2 it would not.
  assert.equal(await node.runOk(["systemctl", "show", "--property=Delegate", "--value", "tessera-pods"]), "yes\n");
});

test("systemd and its journal say what the services do in words", async () => {
  const [node] = installation.nodes;
  assert.ok(node);
  for (const [machine, unit, process, status] of [
    [
      installation.controlPlane,
      "tessera-controlplane",
      "tessera-control",
      /^Kubernetes API at 0\.0\.0\.0:6443, agents at 0\.0\.0\.0:6444$/,
    ],
    [node, "tessera-agent", "tessera-agent", /^node "node-a-\w+" of the control plane at [0-9.]+:6444$/],
  ] as const) {
    assert.match((await machine.runOk(["systemctl", "show", "--property=StatusText", "--value", unit])).trim(), status);
    assert.equal((await machine.runOk(["ps", "-o", "comm=", await mainPid(machine, unit)])).trim(), process);
    const journal = (...args: string[]) => machine.runOk(["journalctl", "--quiet", "--output=cat", `--unit=${unit}`, ...args]);
    assert.doesNotMatch(await journal(), /^\{/m);
    assert.match(await journal("--priority=info..info"), /^(control plane serves|connected) .*\w+=\S/m);
  }
  const warnings = await node.runOk(["journalctl", "--quiet", "--output=cat", "--unit=tessera-agent", "--priority=warning"]);
  assert.match(warnings, /^session with the control plane failed: /m);
  assert.doesNotMatch(warnings, /^connected /m);
});

test("pods come back when their machine boots anew, and the control plane knows them when its own does", async () => {
  const [node] = installation.nodes;
  assert.ok(node);
  const before = await witnesses.lifeOf("counter-0");
  await Promise.all([node.reboot(), installation.controlPlane.reboot()]);
  await installation.awaitNodes();
  await installation.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "--timeout=60s", "pod/counter-0");
  await installation.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod/counter-0");
  const life = await witnesses.lifeOf("counter-0");
  assert.equal(life.uid, before.uid);
  assert.notEqual(life.containerID, before.containerID);
  await assertNothingLeaks(node);
});

test("on a machine that holds both, whatever is installed brings its release to the other too, an older one as well", async () => {
  const { controlPlane } = installation;
  await installOk(controlPlane, versions.first, "agent", ...joinFlags);
  for (const unit of ["tessera-controlplane", "tessera-agent"]) {
    const program = await controlPlane.runOk(["readlink", `/proc/${await mainPid(controlPlane, unit)}/exe`]);
    assert.equal(program, `/usr/lib/tessera/${versions.first}/bin/node\n`, unit);
  }
  await until("the node is ready", async () =>
    / Ready /.test(await tsctlOfRelease("get", "node", controlPlane.options.name)) ? true : undefined,
  );
});

test("an uninstall ends the pods and leaves nothing", async () => {
  const machines = [...installation.nodes, installation.controlPlane];
  for (const machine of machines) await machine.runOk(["/usr/lib/tessera/current/install.sh", "uninstall", "--yes"], { timeoutMs: 90_000 });
  for (const machine of machines) assert.deepEqual(differences(clean.get(machine), await readMachineState(machine)), []);
});
