import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import test from "node:test";
import { run, runOk } from "../harness/run.ts";

const root = resolve(import.meta.dirname, "../..");
const kubeconfig = "/tmp/tessera-start.kubeconfig";
const env = { KUBECONFIG: kubeconfig, PATH: `${join(root, "node_modules/.bin")}:${process.env["PATH"]}` };
const developersOwn = existsSync("/var/lib/tessera-dev/dev");

/** The commands of README's tour, as a reader would type them. */
function tour(): string[] {
  const block = /<!-- tour -->\n```sh\n([\s\S]*?)```/.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1];
  assert.ok(block, "README.md has a tour");
  return block.trim().split("\n");
}

test("npm start makes a cluster with a pod in it, again it changes nothing, and README's tour works on it", {
  skip: developersOwn && "a development cluster 'dev' of somebody's own runs on this machine",
}, async () => {
  rmSync(kubeconfig, { force: true });
  const start = () => run("sh", ["scripts/start.sh"], { env, timeoutMs: 300_000 });
  const podUid = () =>
    runOk("kubectl", ["get", "pod", "hello", "-o", "jsonpath={.metadata.uid} {.metadata.resourceVersion} {.status.phase}"], { env });
  try {
    const first = await start();
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /What to try next/);
    const before = await podUid();
    assert.match(before, / Running$/);
    const again = await start();
    assert.equal(again.code, 0, again.stderr);
    assert.equal(await podUid(), before);
    for (const command of tour()) {
      const output = await run("sh", ["-c", `cd '${root}' && ${command}`], { env });
      assert.equal(output.code, 0, `${command}\n${output.stdout}${output.stderr}`);
    }
    assert.ok(!existsSync("/var/lib/tessera-dev/dev"), "down removed the cluster's folder");
    assert.doesNotMatch(readFileSync(kubeconfig, "utf8"), /tessera-dev/);
  } finally {
    await run("sh", ["-c", `cd '${root}' && npx tsctl dev down`], { env });
    rmSync(kubeconfig, { force: true });
  }
});
