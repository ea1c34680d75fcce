import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { clusterParts, until } from "../harness/cluster.ts";
import { type Scenario, scenario, shellPod } from "../harness/scenario.ts";

const noFolders = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_ERRNO", errnoRet: 95 }] };

function pod(name: string, localhostProfile: string): object {
  const script = "mkdir /made; touch /made-anyway && echo touched; grep Seccomp: /proc/self/status; exec sleep 1000";
  const securityContext = { seccompProfile: { type: "Localhost", localhostProfile } };
  return shellPod(name, script, { pod: { nodeName: "node-1", securityContext } });
}

async function waiting(cluster: Scenario, name: string, message: RegExp): Promise<void> {
  await until(`${name} to say ${message}`, async () => {
    const state = (await cluster.getPod(name)).status.containerStatuses?.[0]?.state.waiting;
    return state?.reason === "CreateContainerConfigError" && message.test(state.message ?? "") ? true : undefined;
  });
}

scenario("a seccomp profile of the node: used, and waited for with a clear reason when it is absent or wrong", async (cluster) => {
  const node = (await clusterParts()).find(({ name }) => name === "node-1");
  assert.ok(node?.dataFolder);
  const folder = join(node.dataFolder, "seccomp");
  mkdirSync(join(folder, "team"), { recursive: true });
  try {
    writeFileSync(join(folder, "team/no-folders.json"), JSON.stringify(noFolders));
    writeFileSync(join(folder, "broken.json"), "{");
    writeFileSync(
      join(folder, "unknown.json"),
      JSON.stringify({ ...noFolders, syscalls: [{ names: ["mkdirr"], action: "SCMP_ACT_LOG" }] }),
    );
    await cluster.apply(
      pod("used", "team/no-folders.json"),
      pod("broken", "broken.json"),
      pod("unknown", "unknown.json"),
      pod("late", "late.json"),
    );
    await cluster.waitReady("used");
    const log = await until("the log", async () => {
      const text = await cluster.kubectlOk(["logs", "used"]);
      return text.includes("Seccomp:") ? text : undefined;
    });
    assert.equal(log, "mkdir: can't create directory '/made': Operation not supported\ntouched\nSeccomp:\t2\n");
    await waiting(cluster, "broken", /seccomp profile "broken\.json": not JSON/);
    await waiting(cluster, "unknown", /there is no system call "mkdirr"/);
    await waiting(cluster, "late", /seccomp profile "late\.json" is not on this node/);
    writeFileSync(join(folder, "late.json"), JSON.stringify(noFolders));
    await cluster.waitReady("late");
    const refused = await cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(pod("climbs", "../../../etc/passwd")) });
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /localhostProfile/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
