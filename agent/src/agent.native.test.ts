import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import type { Container, PodSpec } from "@tessera/proto";
import { DebianRegistry } from "./images/testing/debian-registry.ts";
import { until } from "./pod/testing/harness.ts";
import { deleted, pod } from "./pod/testing/pod-builder.ts";
import { collect } from "./session/fake-control-plane.ts";
import { IMAGE, NativeNode } from "./testing/native-node.ts";

const INSIDE = "TESSERA_TEST_INSIDE";

if (process.env[INSIDE] === undefined) {
  it("runs pods on the real kernel (in network and mount namespaces of its own)", () => {
    const argv = ["--net", "--mount", "--propagation", "private", process.execPath, "--test-reporter=spec", import.meta.filename];
    const { NODE_TEST_CONTEXT: _ours, ...env } = process.env;
    const result = spawnSync("unshare", argv, { env: { ...env, [INSIDE]: "1" }, encoding: "utf8", timeout: 120_000 });
    assert.equal(result.status, 0, `${result.stdout}\n${result.stderr}`);
  });
} else {
  describe("agent on the real kernel", { timeout: 60_000 }, () => suite());
}

function suite(): void {
  let node: NativeNode;
  before(async () => {
    node = await NativeNode.make();
    await node.startAgent();
  });
  after(async () => {
    await node.stopAgent();
    await node.close();
  });

  const container = (name: string, script: string, more: Container = {}): Container => ({
    name,
    image: IMAGE,
    command: ["sh", "-c", script],
    terminationMessagePath: "/dev/termination-log",
    ...more,
  });
  const status = (name: string) => node.statuses(`uid-${name}`).at(-1);
  const main = (name: string) => status(name)?.containerStatuses?.[0];
  const seen = (name: string) => ({ statuses: node.statuses(`uid-${name}`), events: node.controlPlane.of("event") });

  async function run(name: string, spec: PodSpec): Promise<void> {
    node.controlPlane.assign(pod(name, { terminationGracePeriodSeconds: 1, ...spec }));
    await until(
      () => status(name)?.phase === "Running" && main(name)?.ready === true,
      () => seen(name),
    );
  }

  async function ended(name: string): Promise<void> {
    await until(
      () => ["Succeeded", "Failed"].includes(status(name)?.phase ?? ""),
      () => seen(name),
    );
  }

  async function remove(name: string, graceSeconds = 0): Promise<void> {
    node.controlPlane.assign(deleted(pod(name), graceSeconds));
    await until(
      () => node.controlPlane.of("podGone").some((gone) => gone.uid === `uid-${name}`),
      () => seen(name),
    );
    const left = async () => (await node.inventory()).filter((item) => item.podUid === `uid-${name}`);
    // The kernel takes a device down some time after its namespace has gone; all else must be gone by now.
    assert.deepEqual(
      (await left()).filter((item) => item.kind !== "link"),
      [],
    );
    await until(async () => (await left()).length === 0, left);
  }

  async function logOf(name: string, containerName = "main"): Promise<string> {
    const request = { podUid: `uid-${name}`, container: containerName, follow: true, previous: false, timestamps: false, sinceTime: "" };
    return (await collect(await node.controlPlane.open({ $case: "log", value: request }))).stdout;
  }

  async function exec(name: string, ...command: string[]) {
    const request = { podUid: `uid-${name}`, container: "main", command, stdin: false, stdout: true, stderr: true, tty: false };
    return await collect(await node.controlPlane.open({ $case: "exec", value: request }));
  }

  it("runs a pod to Running, runs a command in it, shows its log and leaves nothing", async () => {
    await run("web", { containers: [container("main", "echo hello; echo sorry >&2; exec sleep 1000")] });
    const kinds = new Set((await node.inventory()).filter((item) => item.podUid === "uid-web").map((item) => item.kind));
    for (const kind of ["sandbox", "shim", "process", "cgroup", "link", "address", "folder"] as const) {
      assert.ok(kinds.has(kind), `the inventory shows the pod's ${kind}`);
    }
    const { stdout, exit } = await exec("web", "sh", "-c", "hostname; cat /etc/hosts; ip -4 address show eth0; exit 5");
    assert.equal(exit.code, 5);
    assert.match(stdout, /^web\n/);
    assert.match(stdout, /10\.64\.7\.\d+\tweb/);
    assert.ok(stdout.includes(`inet ${status("web")?.podIP}/`), stdout);
    // Its first process takes no notice of SIGTERM, so this waits for the grace to be over.
    await remove("web", 1);
  });

  it("keeps what a pod wrote to its log, in order", async () => {
    await run("talk", { restartPolicy: "Never", containers: [container("main", "echo one; echo two; sleep 0.2; echo three")] });
    assert.equal(await logOf("talk"), "one\ntwo\nthree\n");
    await ended("talk");
    assert.equal(main("talk")?.state?.terminated?.reason, "Completed");
    await remove("talk");
  });

  it("gives containers their environment, volumes and user", async () => {
    const data = { greeting: "hi", path: "p" };
    const object = (kind: string, value: object) =>
      node.controlPlane.say({
        $case: "referencedObject",
        value: {
          kind,
          namespace: "default",
          name: "given",
          object: Buffer.from(JSON.stringify({ metadata: { resourceVersion: "1" }, ...value })),
        },
      });
    object("ConfigMap", { data });
    object("Secret", { data: { token: Buffer.from("s3cret").toString("base64") } });
    const volumes = [
      { name: "scratch", emptyDir: {} },
      { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
      { name: "settings", configMap: { name: "given", items: [{ key: "greeting", path: "deep/greeting", mode: 0o400 }] } },
      { name: "secret", secret: { secretName: "given", defaultMode: 0o440 } },
    ];
    const volumeMounts = volumes.map(({ name }) => ({ name, mountPath: `/mnt/${name}` }));
    const script = [
      "echo $GREETING $OWN $TOKEN",
      "id",
      "echo data > /mnt/scratch/file && cat /mnt/scratch/file",
      "cat /mnt/settings/deep/greeting; echo",
      "cat /mnt/secret/token; echo",
      "(echo x > /mnt/secret/new) 2>/dev/null || echo read-only",
      "grep -c ' /mnt/memory tmpfs' /proc/mounts; grep -c ' /mnt/secret tmpfs' /proc/mounts",
      "dd if=/dev/zero of=/mnt/memory/big bs=64k count=64 2>/dev/null || echo full",
      "grep NoNewPrivs /proc/self/status",
      "echo last words > /dev/termination-log",
    ];
    await run("rich", {
      restartPolicy: "Never",
      volumes,
      securityContext: { fsGroup: 2000, supplementalGroups: [3000] },
      containers: [
        container("main", `${script.join("; ")}; sleep 0.3`, {
          volumeMounts,
          securityContext: { runAsUser: 1000, runAsGroup: 1001 },
          env: [
            { name: "GREETING", valueFrom: { configMapKeyRef: { name: "given", key: "greeting" } } },
            { name: "OWN", value: "$(GREETING)-$$(X)-$(UNKNOWN)" },
            { name: "TOKEN", valueFrom: { secretKeyRef: { name: "given", key: "token" } } },
          ],
        }),
      ],
    });
    const log = await logOf("rich");
    assert.deepEqual(log.trimEnd().split("\n"), [
      "hi hi-$(X)-$(UNKNOWN) s3cret",
      "uid=1000 gid=1001 groups=1001,2000,3000",
      "data",
      "hi",
      "s3cret",
      "read-only",
      "1",
      "1",
      "full",
      "NoNewPrivs:\t1",
    ]);
    await ended("rich");
    assert.equal(main("rich")?.state?.terminated?.message, "last words");
    await remove("rich");
  });

  it("ends a pod whose memory runs out as OOMKilled", async () => {
    const hungry = container("main", "x=a; while true; do x=$x$x; done", { resources: { limits: { memory: "16Mi" } } });
    node.controlPlane.assign(pod("hungry", { restartPolicy: "Never", containers: [hungry] }));
    await ended("hungry");
    assert.deepEqual([main("hungry")?.state?.terminated?.reason, main("hungry")?.state?.terminated?.exitCode], ["OOMKilled", 137]);
    await remove("hungry");
  });

  it("says of a command that does not exist that it could not be started", async () => {
    node.controlPlane.assign(
      pod("typo", { restartPolicy: "Never", containers: [container("main", "", { command: ["/no/such/command"] })] }),
    );
    await ended("typo");
    assert.deepEqual([main("typo")?.state?.terminated?.reason, main("typo")?.state?.terminated?.exitCode], ["StartError", 128]);
    assert.match(main("typo")?.state?.terminated?.message ?? "", /\/no\/such\/command/);
    await remove("typo");
  });

  it("finds its pods again after a restart, with the same processes", async () => {
    await run("stays", { containers: [container("main", "echo $$; exec sleep 1000")] });
    const before = await exec("stays", "cat", "/proc/1/stat");
    await node.stopAgent();
    await node.startAgent();
    await until(
      () =>
        node.controlPlane
          .of("hello")
          .at(-1)
          ?.pods.some((held) => held.uid === "uid-stays") ?? false,
    );
    const again = await exec("stays", "cat", "/proc/1/stat");
    assert.equal(again.stdout.split(" ")[21], before.stdout.split(" ")[21], "the same start time");
    assert.equal(main("stays")?.restartCount, 0);
    await remove("stays");
  });

  it("makes a new sandbox when the shim is killed", async () => {
    await run("struck", { containers: [container("main", "exec sleep 1000")] });
    const shim = (await node.inventory()).find((item) => item.kind === "shim" && item.podUid === "uid-struck");
    process.kill(Number(shim?.name.split(" ")[0]), "SIGKILL");
    await until(
      () => main("struck")?.restartCount === 1 && main("struck")?.ready === true,
      () => seen("struck"),
    );
    assert.equal((await exec("struck", "echo", "alive")).stdout, "alive\n");
    await remove("struck");
  });

  it("lets pods of the node reach each other", async () => {
    await run("server", { containers: [container("main", "mkdir /www; echo found > /www/index.html; exec httpd -f -p 80 -h /www")] });
    await run("client", { containers: [container("main", "exec sleep 1000")] });
    const url = `http://${status("server")?.podIP}/index.html`;
    let answer = "";
    await until(
      async () => {
        answer = (await exec("client", "wget", "-q", "-O", "-", url)).stdout;
        return answer !== "";
      },
      () => answer,
    );
    assert.equal(answer, "found\n");
    await remove("client");
    await remove("server");
  });

  it("refuses logs that were replaced by links", async () => {
    await run("sly", { containers: [container("main", "exec sleep 1000")] });
    const path = join(node.dataDir, "pods/uid-sly/logs/main/0.log");
    assert.equal(await readFile(path, "utf8"), "");
    await writeFile(join(node.folder, "canary"), "secret");
    spawnSync("ln", ["-sf", join(node.folder, "canary"), path]);
    const request = { podUid: "uid-sly", container: "main", follow: false, previous: false, timestamps: false, sinceTime: "" };
    const { stdout, exit } = await collect(await node.controlPlane.open({ $case: "log", value: request }));
    assert.deepEqual([stdout, exit.reason], ["", "Forbidden"]);
    await remove("sly");
  });

  it("lets nobody but root into its folders", async () => {
    for (const folder of ["", "images", "pods", "addresses"]) {
      const { mode } = await stat(join(node.dataDir, folder));
      assert.equal(mode & 0o077, 0, folder);
    }
  });

  it("pulls an image from a registry with the login of a Secret, and says so when it lacks one", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "tessera-registry-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    // bcrypt of "hunter2".
    await writeFile(join(folder, "htpasswd"), "user:$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n");
    const auth = `  htpasswd:\n    realm: test\n    path: ${join(folder, "htpasswd")}`;
    const registry = await DebianRegistry.start({ folder, storage: join(folder, "storage"), auth });
    t.after(() => registry.stop());
    const image = `${registry.host}/team/busybox:1`;
    const archive = resolve(import.meta.dirname, "../../dist/busybox.tar");
    const copy = ["--insecure-policy", "copy", "--dest-tls-verify=false", "--dest-creds", "user:hunter2"];
    await promisify(execFile)("skopeo", [...copy, `oci-archive:${archive}`, `docker://${image}`]);
    const containers = [container("main", "exec sleep 1000", { image })];

    node.controlPlane.assign(pod("denied", { containers }));
    await until(
      () => main("denied")?.state?.waiting?.reason === "ErrImagePull",
      () => seen("denied"),
    );
    assert.match(main("denied")?.state?.waiting?.message ?? "", /^failed to pull image ".*": pull access denied for .*imagePullSecrets/);
    await remove("denied");

    const auths = { auths: { [registry.host]: { auth: Buffer.from("user:hunter2").toString("base64") } } };
    const secret = {
      metadata: { namespace: "default", name: "login" },
      data: { ".dockerconfigjson": Buffer.from(JSON.stringify(auths)).toString("base64") },
    };
    const object = Buffer.from(JSON.stringify(secret));
    node.controlPlane.say({ $case: "referencedObject", value: { kind: "Secret", namespace: "default", name: "login", object } });
    await run("allowed", { imagePullSecrets: [{ name: "login" }], containers });
    assert.match(main("allowed")?.imageID ?? "", /\/team\/busybox@sha256:[0-9a-f]{64}$/);
    const names = () => node.controlPlane.of("nodeStatus").flatMap(({ status: json }) => JSON.parse(json.toString()).images ?? []);
    await until(() => names().some((one: { names?: string[] }) => one.names?.includes(image)), names);
    await remove("allowed");
  });
}
