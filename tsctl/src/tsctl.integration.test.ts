import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { PassThrough } from "node:stream";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "./clock.ts";
import { MemoryOutput } from "./output.ts";
import { runProgram } from "./program.ts";

const dist = resolve(import.meta.dirname, "../../dist");

/** tsctl and kubectl on one control plane without nodes: TLS with client certificates, discovery, patches, watches as they really are. */
describe("tsctl with a real control plane", () => {
  let folder: string;
  let kubeconfig: string;
  let controlPlane: ChildProcess;

  before(async () => {
    assert.ok(existsSync(join(dist, "controlplane.mjs")), "dist/controlplane.mjs is missing: npm run build");
    folder = await mkdtemp(join(tmpdir(), "tsctl-integration-"));
    kubeconfig = join(folder, "admin.kubeconfig");
    const listen = ["--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0", "--cluster-cidr", "10.64.0.0/16"];
    const log = ["--log-level", "error"];
    controlPlane = spawn(process.execPath, [join(dist, "controlplane.mjs"), "serve", "--data-dir", folder, ...listen, ...log], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const deadline = Date.now() + 30_000;
    while (!(await isUp())) {
      assert.ok(Date.now() < deadline && controlPlane.exitCode === null, "the control plane does not come up");
      await delay(50);
    }
  });
  after(async () => {
    const ended = new Promise((done) => controlPlane.once("exit", done));
    controlPlane.kill();
    await ended;
    await rm(folder, { recursive: true });
  });

  const isUp = async () => {
    const ports = await readFile(join(folder, "ports.json"), "utf8").catch(() => "{}");
    return JSON.parse(ports).api !== undefined && (await tsctl(["get", "namespace", "default"])).code === 0;
  };

  async function tsctl(argv: readonly string[], stdin = "", editor = "false"): Promise<{ code: number; stdout: string; stderr: string }> {
    const [out, err, input] = [new MemoryOutput(), new MemoryOutput(), new PassThrough()];
    input.end(stdin);
    const code = await runProgram(argv, {
      out,
      err,
      input: input as unknown as NodeJS.ReadStream,
      terminal: undefined,
      clock: systemClock,
      settings: { kubeconfigs: [kubeconfig], devHome: folder, dist, node: process.execPath, version: "0.1.0", editor, diff: "diff -u -N" },
      signal: AbortSignal.timeout(60_000),
    });
    return { code, stdout: out.text, stderr: err.text };
  }
  async function tsctlOk(argv: readonly string[], stdin?: string, editor?: string): Promise<string> {
    const { code, stdout, stderr } = await tsctl(argv, stdin, editor);
    assert.equal(code, 0, `tsctl ${argv.join(" ")}: ${stderr}`);
    return stdout;
  }
  async function kubectlOk(argv: readonly string[], stdin = "", editor = "false"): Promise<string> {
    const child = spawn("kubectl", argv, {
      env: { ...process.env, KUBECONFIG: kubeconfig, HOME: folder, KUBE_EDITOR: editor },
      stdio: ["pipe", "pipe", "pipe"],
    });
    child.stdin.end(stdin);
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (text) => (stdout += text));
    child.stderr.on("data", (text) => (stderr += text));
    const code = await new Promise((done) => child.once("close", done));
    assert.equal(code, 0, `kubectl ${argv.join(" ")}: ${stderr}`);
    return stdout;
  }

  const map = (name: string, data: object) => JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data });
  const apply = ["apply", "-f", "-"];

  it("applies what kubectl applied, and the other way round: each removes what the other's file no longer says", async () => {
    assert.equal(await kubectlOk(apply, map("shared", { a: "1", b: "2" })), "configmap/shared created\n");
    assert.equal(await tsctlOk(apply, map("shared", { a: "1", b: "2" })), "configmap/shared unchanged\n");
    assert.equal(await tsctlOk(apply, map("shared", { a: "1", c: "3" })), "configmap/shared configured\n");
    assert.equal(await tsctlOk(["get", "cm", "shared", "-o", "jsonpath={.data}"]), '{"a":"1","c":"3"}');
    assert.equal(await kubectlOk(apply, map("shared", { a: "1", c: "3" })), "configmap/shared unchanged\n");
    assert.equal(await kubectlOk(apply, map("shared", { c: "4" })), "configmap/shared configured\n");
    assert.equal(await tsctlOk(["get", "cm", "shared", "-o", "jsonpath={.data}"]), '{"c":"4"}');
  });

  it("changes one container of a pod and keeps the others", async () => {
    const pod = (labels: object, image: string) =>
      JSON.stringify({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "two", labels },
        spec: {
          containers: [
            { name: "a", image: "x:1" },
            { name: "b", image },
          ],
        },
      });
    assert.equal(await tsctlOk(apply, pod({ tier: "front" }, "x:1")), "pod/two created\n");
    assert.equal(await tsctlOk(apply, pod({ tier: "front" }, "x:1")), "pod/two unchanged\n");
    assert.equal(await tsctlOk(apply, pod({ tier: "back" }, "x:2")), "pod/two configured\n");
    assert.equal(
      await tsctlOk(["get", "pod", "two", "-o", "jsonpath={.spec.containers[*].image} {.metadata.labels.tier}"]),
      "x:1 x:2 back",
    );
    assert.match(await tsctlOk(["get", "pods", "-l", "tier=back", "-o", "wide"]), /^NAME +READY +STATUS[^\n]*\ntwo +0\/2 +Pending/);
    assert.match(await tsctlOk(["describe", "pod", "two"]), /Status: +Pending\n[\s\S]*no nodes available/);
    assert.equal(await tsctlOk(["delete", "pod", "two"]), 'pod "two" deleted\n');
    assert.match((await tsctl(["get", "pod", "two"])).stderr, /pods "two" not found/);
  });

  it("tells an unknown field with the line and what was meant", async () => {
    const misspelt =
      "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\nspec:\n  containers:\n    - name: main\n      image: y\n      imagePulPolicy: Always\n";
    const { code, stderr } = await tsctl(apply, misspelt);
    assert.equal(code, 1);
    assert.equal(stderr, "error: stdin: spec.containers[0].imagePulPolicy: unknown field, did you mean imagePullPolicy? (line 9)\n");
  });

  it("waits for what comes and for what goes", async () => {
    const coming = tsctlOk(["wait", "cm/later", "--for=create", "--timeout=10s"]);
    await tsctlOk(apply, map("later", { ready: "yes" }));
    assert.equal(await coming, "configmap/later condition met\n");
    assert.equal(await tsctlOk(["wait", "cm/later", "--for=jsonpath={.data.ready}=yes"]), "configmap/later condition met\n");
    const going = tsctlOk(["wait", "cm/later", "--for=delete", "--timeout=10s"]);
    await tsctlOk(["delete", "cm", "later"]);
    assert.equal(await going, "configmap/later deleted\n");
  });

  it("explains fields and shows types", async () => {
    assert.match(
      await tsctlOk(["explain", "pod.spec.containers.imagePullPolicy"]),
      /FIELD: imagePullPolicy <string>\n\nDESCRIPTION:\n {4}\w/,
    );
    assert.match(await tsctlOk(["explain", "leases.spec"]), /GROUP: +coordination\.k8s\.io\nKIND: +Lease\nVERSION: +v1\n/);
    assert.match(await tsctlOk(["api-resources"]), /\npods +po +v1 +true +Pod\n/);
    assert.match((await tsctl(["explain", "pod.spec.containrs"])).stderr, /did you mean containers\?/);
  });

  it("labels, annotates, patches, edits and replaces as kubectl does, word for word", async () => {
    const replaced = (name: string) => ["replace", "-f", "-", name, map(name, { a: "replaced" })];
    /** Each line is given to both, each with an object of its own; OBJECT stands for it. */
    const lines = [
      ["label", "cm", "OBJECT", "tier=front", "zone=a"],
      ["label", "cm/OBJECT", "tier=front"],
      ["label", "cm", "OBJECT", "tier=back", "--overwrite"],
      ["label", "cm", "OBJECT", "tier-", "missing-"],
      ["label", "cm", "-l", "zone=a,own=OBJECT", "more=yes", "--dry-run=server"],
      ["label", "cm", "-l", "zone=a", "--field-selector", "metadata.name=OBJECT", "more=yes", "-o", "name"],
      ["annotate", "cm", "OBJECT", "note=kept, with = and spaces"],
      ["annotate", "cm", "OBJECT", "note-"],
      ["patch", "cm", "OBJECT", "-p", '{"data":{"a":"2"}}'],
      ["patch", "cm", "OBJECT", "-p", "data: {a: '2'}"],
      ["patch", "cm", "OBJECT", "--type=json", "-p", '[{"op":"add","path":"/data/b","value":"3"}]'],
      ["patch", "cm", "OBJECT", "--type=merge", "-p", '{"data":{"c":"4"}}', "-o", "jsonpath={.data}"],
      replaced("OBJECT"),
      ["edit", "cm", "OBJECT"],
      ["get", "cm", "OBJECT", "-o", "jsonpath={.data}{.metadata.labels}{.metadata.annotations}"],
      ["delete", "cm", "--field-selector", "metadata.name=OBJECT", "--dry-run=server"],
      ["delete", "cm", "-l", "zone=nowhere"],
      ["delete", "cm", "--field-selector=metadata.name=OBJECT"],
    ];
    for (const name of ["by-tsctl", "by-kubectl"]) await kubectlOk(["create", "cm", name, "--from-literal=a=1"]);
    await kubectlOk(["label", "cm", "by-tsctl", "own=by-tsctl"]);
    await kubectlOk(["label", "cm", "by-kubectl", "own=by-kubectl"]);
    for (const line of lines) {
      const wordsFor = (name: string) => line.map((word) => word.replaceAll("OBJECT", name));
      const told = async (name: string, run: (argv: readonly string[], stdin: string, editor: string) => Promise<string>) => {
        const [verb, flag, file, object, content] = wordsFor(name);
        const argv = verb === "replace" ? [verb, flag ?? "", file ?? ""] : wordsFor(name);
        const text = await run(argv, object === undefined ? "" : (content ?? ""), "sed -i s/replaced/edited/");
        return text.replaceAll(name, "OBJECT");
      };
      assert.equal(await told("by-tsctl", tsctlOk), await told("by-kubectl", kubectlOk), line.join(" "));
    }
  });

  it("creates what kubectl creates of the same words, word for word", async () => {
    const file = join(folder, "file.conf");
    await writeFile(file, "line one\nline two\n");
    const env = join(folder, "some.env");
    await writeFile(env, "# a comment\n\nA=1\nB=two words\n");
    const lines = [
      ["create", "configmap", "made", "--from-literal=a=b", `--from-file=${file}`, `--from-file=own=${file}`],
      ["create", "cm", "made", `--from-env-file=${env}`],
      ["create", "secret", "generic", "made", "--from-literal=a=b", "--type=example.com/x"],
      ["create", "secret", "docker-registry", "made", "--docker-server=r.example", "--docker-username=u", "--docker-password=p"],
      ["create", "namespace", "made"],
      ["create", "serviceaccount", "made"],
      ["run", "made", "--image=x:1", "--env=A=1", "--labels=a=b,c=d", "--port=80", "--", "sleep", "1"],
      ["run", "made", "--image=x:1", "--restart=Never", "--command", "--", "sleep", "1"],
    ];
    const isSame = async (argv: readonly string[]) => {
      const [ours, theirs] = await Promise.all([tsctlOk(argv), kubectlOk(argv)]);
      assert.equal(ours, theirs, argv.join(" "));
    };
    for (const line of lines) {
      const end = line.indexOf("--");
      const withFlags = (...flags: string[]) => (end < 0 ? [...line, ...flags] : [...line.slice(0, end), ...flags, ...line.slice(end)]);
      const made = async (run: typeof kubectlOk) => {
        const { metadata, ...object } = JSON.parse(await run(withFlags("--dry-run=client", "-o", "json")));
        delete metadata.creationTimestamp;
        delete object.status;
        for (const container of object.spec?.containers ?? []) delete container.resources;
        delete object.spec?.dnsPolicy;
        // kubectl writes fields that are empty, too.
        if (JSON.stringify(object.spec) === "{}") delete object.spec;
        return { metadata, ...object };
      };
      assert.deepEqual(await made(tsctlOk), await made(kubectlOk), line.join(" "));
      await isSame(withFlags("--dry-run=server"));
      await isSame(withFlags("--dry-run=client"));
    }
    assert.equal(await tsctlOk(["create", "-f", "-"], map("created", { a: "1" })), "configmap/created created\n");
    assert.match((await tsctl(["create", "-f", "-"], map("created", { a: "1" }))).stderr, /configmaps "created" already exists/);
    assert.match(
      (await tsctl(["create", "cm", "created"])).stderr,
      /^error: failed to create configmap: configmaps "created" already exists/,
    );
  });

  it("shows who the user is, and the same differences as kubectl", async () => {
    const columns = (text: string) => text.replace(/ {2,}/g, "  ");
    assert.equal(columns(await tsctlOk(["auth", "whoami"])), columns(await kubectlOk(["auth", "whoami"])));
    await tsctlOk(apply, map("compared", { a: "1" }));
    assert.deepEqual(await tsctl(["diff", "-f", "-"], map("compared", { a: "1" })), { code: 0, stdout: "", stderr: "" });
    const { code, stdout } = await tsctl(["diff", "-f", "-"], map("compared", { a: "2" }));
    assert.equal(code, 1);
    assert.match(stdout, /^--- LIVE\/v1\.ConfigMap\.default\.compared\s[\s\S]*\n- {2}a: "1"\n\+ {2}a: "2"\n/m);
    assert.equal(await tsctlOk(["get", "cm", "compared", "-o", "jsonpath={.data.a}"]), "1", "nothing was changed");
    assert.equal((await tsctl(["diff", "-f", "-"], map("new", {}))).code, 1);
    assert.equal((await tsctl(["diff", "-f", "-"], "kind: [")).code, 2);
  });

  it("cordons, drains and uncordons as kubectl does, word for word", async () => {
    for (const name of ["by-tsctl", "by-kubectl"]) {
      await kubectlOk(["create", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "Node", metadata: { name } }));
      for (const line of [["cordon"], ["cordon"], ["uncordon"], ["uncordon"], ["drain"], ["drain"], ["uncordon"]]) {
        const run = name === "by-tsctl" ? tsctlOk : kubectlOk;
        const told = await run([...line, name]);
        const state = await kubectlOk(["get", "node", name, "-o", "jsonpath={.spec.unschedulable}"]);
        assert.equal(state, line[0] === "uncordon" ? "" : "true");
        const expected = {
          cordon: /^node\/\S+ (already )?cordoned\n$/,
          uncordon: /^node\/\S+ (already )?uncordoned\n$/,
          drain: /^node\/\S+ (already )?cordoned\nnode\/\S+ drained\n$/,
        };
        assert.match(told, expected[line[0] as keyof typeof expected], `${line[0]} ${name}`);
      }
    }
    assert.match((await tsctl(["cordon", "nobody"])).stderr, /nodes "nobody" not found/);
  });

  it("says what is wrong when the server does not know it, or it does not know the server", async () => {
    const config = await readFile(kubeconfig, "utf8");
    const stranger = join(folder, "stranger.kubeconfig");
    await writeFile(stranger, config.replace(/client-certificate-data: .*\n.*client-key-data: .*/, "token: nonsense"));
    const refused = await tsctl(["get", "pods", "--kubeconfig", stranger]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /error: .*\nhint: the server does not know the certificate or token/);
    const other = join(folder, "other.kubeconfig");
    await writeFile(other, config.replace(/certificate-authority-data: .*/, "insecure-skip-tls-verify: false"));
    const distrusted = await tsctl(["get", "pods", "--kubeconfig", other]);
    assert.equal(distrusted.code, 1);
    assert.match(distrusted.stderr, /cannot reach the server .*: its certificate is not signed by the authority that the kubeconfig names/);
  });

  it("answers whether one may do something", async () => {
    assert.deepEqual(await tsctl(["auth", "can-i", "create", "po/web"]), { code: 0, stdout: "yes\n", stderr: "" });
    assert.deepEqual(await tsctl(["auth", "can-i", "get", "/metrics", "-q"]), { code: 0, stdout: "", stderr: "" });
    assert.match(
      (await tsctl(["auth", "can-i", "--list"])).stdout,
      /^RESOURCES +GROUPS +NAMES +VERBS\n\* +\* +\* +\*\n\* +\(paths\) +\*\n$/,
    );
    const { code, stderr } = await tsctl(["auth", "can-i", "get", "unicorns"]);
    assert.equal(code, 1);
    assert.match(stderr, /no resource type "unicorns"/);
  });
});
