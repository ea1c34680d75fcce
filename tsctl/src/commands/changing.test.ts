import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { FakeServer, status } from "../testing/fake-server.ts";
import { runTsctl } from "../testing/run.ts";

const maps = "/api/v1/namespaces/shop/configmaps";
const map = (version = "1", more: object = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "a", namespace: "shop", resourceVersion: version, labels: { tier: "front" }, ...more },
  data: { a: "1" },
});
const body = (server: FakeServer, method: string) => JSON.parse(server.asked(method).at(-1)?.body ?? "");

/** A command line that must be refused before the server is asked. */
async function refused(...argv: string[]): Promise<string> {
  await using server = await FakeServer.start();
  const { code, stderr, stdout } = await runTsctl(argv, { server, input: "" });
  assert.deepEqual([code === 0, stdout, server.requests.filter(({ path }) => path !== "/api" && path !== "/apis").length], [false, "", 0]);
  return stderr;
}

describe("patch", () => {
  for (const [flags, type] of [
    [[], "strategic-merge"],
    [["--type=merge"], "merge"],
  ] as const) {
    it(`sends a ${type} patch with ${flags.join() || "no flags"}`, async () => {
      await using server = await FakeServer.start();
      server.on(`GET ${maps}/a`, { body: map() }).on(`PATCH ${maps}/a`, { body: map("2") });
      const { stdout } = await runTsctl(["patch", "cm", "a", "-p", "data: {a: '2'}", ...flags], { server });
      assert.equal(stdout, "configmap/a patched\n");
      assert.equal(server.asked("PATCH")[0]?.headers["content-type"], `application/${type}-patch+json`);
      assert.deepEqual(body(server, "PATCH"), { data: { a: "2" } });
    });
  }

  it("says that nothing changed, patches a subresource, and tells the server's refusal", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${maps}/a`, { body: map() }).on(`PATCH ${maps}/a/status`, { body: map() });
    server.on(`PATCH ${maps}/a`, { status: 422, body: status("Invalid", "no such path") });
    const patch = ["patch", "cm", "a", "--type=json", "-p", '[{"op":"remove","path":"/data/x"}]'];
    assert.equal((await runTsctl([...patch, "--subresource=status"], { server })).stdout, "configmap/a patched (no change)\n");
    assert.deepEqual(await runTsctl(patch, { server }), { code: 1, stdout: "", stderr: "error: no such path\n" });
  });

  it("refuses what is no patch", async () => {
    assert.match(await refused("patch", "cm", "a"), /either -p PATCH or --patch-file FILE/);
    assert.match(await refused("patch", "cm", "a", "-p", "{", "--type=merge"), /neither JSON nor YAML/);
    assert.match(await refused("patch", "cm", "a", "-p", "{}", "--type=json"), /a json patch looks like \[/);
    assert.match(await refused("patch", "cm", "a", "-p", "[]"), /a strategic patch looks like \{/);
    assert.match(await refused("patch", "cm", "a", "-p", "{}", "--type=other"), /json, merge or strategic/);
    assert.match(await refused("patch", "cm", "-p", "{}"), /say which: NAME\.\.\., -l LABELS or --all/);
    assert.match(await refused("patch", "cm", "a", "--patch-file=/nonexistent"), /--patch-file \/nonexistent cannot be read/);
  });
});

describe("label and annotate", () => {
  it("do not overwrite unless told, and say which value is there", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${maps}/a`, { body: map() }).on(`PATCH ${maps}/a`, { body: map("2") });
    const kept = await runTsctl(["label", "cm", "a", "tier=back"], { server });
    assert.deepEqual([kept.code, kept.stdout], [1, ""]);
    assert.match(kept.stderr, /'tier' already has a value \(front\), and --overwrite is false/);
    assert.equal(server.asked("PATCH").length, 0);
    await runTsctl(["label", "cm", "a", "tier=back", "--overwrite"], { server });
    assert.deepEqual(body(server, "PATCH"), { metadata: { labels: { tier: "back" } } });
  });

  it("hold on to what they saw, and look again when somebody was faster", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${maps}/a`, { body: map("1") }, { body: map("2") });
    const changed = { body: map("3", { labels: { tier: "front", new: "yes" } }) };
    server.on(`PATCH ${maps}/a`, { status: 409, body: status("Conflict", "changed") }, changed);
    assert.equal((await runTsctl(["label", "cm", "a", "new=yes"], { server })).stdout, "configmap/a labeled\n");
    const versions = server.asked("PATCH").map((request) => JSON.parse(request.body).metadata.resourceVersion);
    assert.deepEqual(versions, ["1", "2"]);
    server.on(`PATCH ${maps}/a`, { status: 409, body: status("Conflict", "changed") });
    assert.match((await runTsctl(["label", "cm", "a", "b=c", "--resource-version=1"], { server })).stderr, /changed/);
  });

  it("take away, and show", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${maps}/a`, { body: map() }).on(`PATCH ${maps}/a`, { body: map("2", { labels: {} }) });
    assert.equal((await runTsctl(["label", "cm", "a", "tier-"], { server })).stdout, "configmap/a unlabeled\n");
    assert.deepEqual(body(server, "PATCH").metadata.labels, { tier: null });
    assert.match((await runTsctl(["label", "cm", "a", "--list"], { server })).stdout, / tier=front\n$/);
    assert.equal(
      (await runTsctl(["annotate", "cm", "a", "note=x", "--dry-run=client"], { server })).stdout,
      "configmap/a annotated (dry run)\n",
    );
    assert.equal(server.asked("PATCH").length, 1);
  });

  it("refuse what cannot be meant", async () => {
    assert.match(await refused("label", "cm", "a"), /at least one label update is required/);
    assert.match(await refused("annotate", "cm", "a"), /at least one annotation update is required/);
    assert.match(await refused("label", "cm", "a", "b=c", "b-"), /cannot both set and remove "b"/);
    assert.match(await refused("label", "cm", "a", "b=c", "d"), /all resources must be specified before label changes: d/);
    assert.match(await refused("label", "cm", "a", "=c"), /invalid label spec: =c/);
    assert.match(await refused("label", "cm", "b=c"), /say which/);
    assert.match(await refused("label", "cm", "-l", "a=b", "--all", "b=c"), /either --all or -l/);
  });
});

describe("edit", () => {
  const edit = (server: FakeServer, editor: string) => runTsctl(["edit", "cm", "a"], { server, editor });

  it("sends what was changed, and only that", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${maps}/a`, { body: map() }).on(`PATCH ${maps}/a`, { body: map("2") });
    assert.equal((await edit(server, "sed -i 's/a: \"1\"/b: x/'")).stdout, "configmap/a edited\n");
    assert.deepEqual(body(server, "PATCH"), { data: { a: null, b: "x" } });
  });

  it("changes nothing when nothing was changed, or all was removed, or the editor failed", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${maps}/a`, { body: map() });
    for (const editor of ["true", "truncate -s 0"]) {
      assert.deepEqual(await edit(server, editor), { code: 0, stdout: "", stderr: "Edit cancelled, no changes made.\n" });
    }
    assert.match((await edit(server, "false")).stderr, /the editor "false" ended with 1; nothing was changed/);
    assert.equal(server.asked("PATCH").length, 0);
  });

  it("brings a refusal back into the editor, and keeps the work when it is given up", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${maps}/a`, { body: map() }).on(`PATCH ${maps}/a`, { status: 422, body: status("Invalid", "data[b]: too odd") });
    const { code, stderr } = await edit(server, "sed -i 's/^  a:/  b:/'");
    const [, copy = ""] = /A copy of them is in (\S+)/.exec(stderr) ?? [];
    assert.equal(code, 1);
    assert.match(stderr, /no valid changes were saved[\s\S]*data\[b\]: too odd/);
    assert.match(await readFile(copy, "utf8"), /^# error: data\[b\]: too odd$[\s\S]*^ {2}b: "1"$/m);
    await rm(join(copy, ".."), { recursive: true });
  });

  it("tells a broken text and a changed name without asking the server", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${maps}/a`, { body: map() });
    for (const [editor, expected] of [
      ["sed -i 's/^data:$/data: [/'", /line/],
      ["sed -i 's/name: a/name: b/'", /metadata\.name cannot be changed/],
    ] as const) {
      const { stderr } = await edit(server, editor);
      assert.match(stderr, expected);
      const [, copy = ""] = /A copy of them is in (\S+)/.exec(stderr) ?? [];
      await rm(join(copy, ".."), { recursive: true });
    }
    assert.equal(server.asked("PATCH").length, 0);
  });
});

describe("create", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "tsctl-create-"));
    await writeFile(join(folder, "text"), "one\n");
    await writeFile(join(folder, "binary"), Buffer.from([0xff, 0xfe, 0]));
    await writeFile(join(folder, "not a key"), "x");
  });
  after(() => rm(folder, { recursive: true }));

  it("makes a config map of a folder: text, bytes, and no file whose name is no key", async () => {
    await using server = await FakeServer.start();
    const { stdout } = await runTsctl(["create", "cm", "made", `--from-file=${folder}`, "--dry-run=client", "-o", "json"], { server });
    const { data, binaryData } = JSON.parse(stdout);
    assert.deepEqual([data, binaryData], [{ text: "one\n" }, { binary: "//4A" }]);
  });

  it("sends nothing with --dry-run=client, and says what it would make", async () => {
    await using server = await FakeServer.start();
    const { stdout } = await runTsctl(["create", "ns", "made", "--dry-run=client"], { server });
    assert.deepEqual([stdout, server.asked("POST").length], ["namespace/made created (dry run)\n", 0]);
  });

  it("makes the others of a file when one is there already, and remembers them with --save-config", async () => {
    await using server = await FakeServer.start();
    server.on(`POST ${maps}`, { status: 409, body: status("AlreadyExists", 'configmaps "a" already exists') }, { body: map() });
    const input = `${JSON.stringify(map())}\n---\n${JSON.stringify(map())}`;
    const { code, stdout, stderr } = await runTsctl(["create", "-f", "-", "--save-config"], { server, input });
    assert.deepEqual([code, stdout], [1, "configmap/a created\n"]);
    assert.match(stderr, /configmaps "a" already exists/);
    assert.match(body(server, "POST").metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"], /"data":\{"a":"1"\}/);
  });

  it("refuses what it cannot make", async () => {
    assert.match(await refused("create"), /say which files: tsctl create -f FILE/);
    assert.match(await refused("create", "deployment", "x"), /create deployment is not known/);
    assert.match(await refused("create", "cm", "a", "--from-literal=x"), /invalid literal source x, expected key=value/);
    assert.match(await refused("create", "cm", "a", "--from-literal=x=1", "--from-literal=x=2"), /cannot add key "x"/);
    assert.match(await refused("create", "cm", "a", "--from-literal=no key=1"), /"no key" is not a valid key/);
    assert.match(await refused("create", "cm", "a", "--from-file=/nonexistent"), /error reading \/nonexistent/);
    assert.match(await refused("create", "cm", "a", "--from-env-file=x", "--from-literal=a=b"), /cannot be combined/);
    assert.match(await refused("create", "secret", "docker-registry", "a"), /--docker-username is missing\n.*--docker-password is missing/);
    assert.match(await refused("create", "secret", "tls", "a", "--cert=/nonexistent", "--key=x"), /error reading \/nonexistent/);
    assert.match(await refused("create", "ns", "a", "-f", "x"), /-f is for "tsctl create" alone/);
    assert.match(await refused("run", "a"), /--image is missing/);
    assert.match(await refused("run", "a", "--image=x", "--restart=Sometimes"), /invalid restart policy: Sometimes/);
    assert.match(await refused("run", "a", "--image=x", "--env=A"), /invalid env: A/);
    assert.match(await refused("run", "a", "--image=x", "--port=http"), /--port "http" is not a number/);
  });
});

describe("run", () => {
  it("shows the log of what has ended before it could attach, exits as it did, and takes the pod away with --rm", async () => {
    await using server = await FakeServer.start();
    const pods = "/api/v1/namespaces/shop/pods";
    const ended = { name: "once", state: { terminated: { exitCode: 3 } } };
    server.on(`POST ${pods}`, { body: { metadata: { name: "once" } } }).on(`DELETE ${pods}/once`, { body: {} });
    server.on(`GET ${pods}`, {
      body: { items: [{ metadata: { name: "once" }, status: { phase: "Failed", containerStatuses: [ended] } }] },
    });
    server.on(`GET ${pods}/once/log`, { body: "done\n" });
    const { code, stdout } = await runTsctl(["run", "once", "--image=x", "--restart=Never", "-i", "--rm"], { server, input: "" });
    assert.deepEqual([code, stdout], [3, 'done\npod "once" deleted\n']);
    assert.equal(body(server, "POST").spec.containers[0].stdinOnce, true);
    assert.match(await refused("run", "a", "--image=x", "--rm"), /--rm should only be used for attached containers/);
    assert.match(await refused("run", "a", "--image=x", "-t"), /a terminal needs stdin/);
  });
});

describe("replace", () => {
  const input = JSON.stringify(map());

  it("puts the object, with the version that the file says", async () => {
    await using server = await FakeServer.start();
    server.on(`PUT ${maps}/a`, { body: map("2") });
    assert.equal((await runTsctl(["replace", "-f", "-"], { server, input })).stdout, "configmap/a replaced\n");
    assert.equal(body(server, "PUT").metadata.resourceVersion, "1");
    server.on(`PUT ${maps}/a`, { status: 409, body: status("Conflict", "it has been modified") });
    const conflict = await runTsctl(["replace", "-f", "-"], { server, input });
    assert.match(conflict.stderr, /it has been modified/);
    const missing = await runTsctl(["replace", "-f", "-"], { server, input: input.replace('"name":"a"', '"name":"z"') });
    assert.match(missing.stderr, /configmaps "z" not found/);
  });

  it("deletes and makes anew with --force, also what was not there", async () => {
    await using server = await FakeServer.start();
    server.on(`DELETE ${maps}/a`, { body: map() }).on(`GET ${maps}`, { body: { items: [] } });
    server.on(`POST ${maps}`, { body: map("3") });
    const { stdout } = await runTsctl(["replace", "--force", "-f", "-"], { server, input });
    assert.equal(stdout, 'configmap "a" deleted\nconfigmap/a replaced\n');
    assert.equal(body(server, "POST").metadata.resourceVersion, undefined);
    const other = await runTsctl(["replace", "--force", "-f", "-"], { server, input: input.replace('"name":"a"', '"name":"z"') });
    assert.equal(other.code, 0);
  });

  it("refuses flags that do not go together", async () => {
    assert.match(await refused("replace"), /say which files/);
    assert.match(await refused("replace", "-f", "-", "--grace-period=5"), /--grace-period is for --force/);
    assert.match(await refused("diff"), /say which files/);
  });
});

describe("diff", () => {
  it("does not show what a Secret holds, only that it changes", async () => {
    await using server = await FakeServer.start();
    const secret = (value: string) => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "s" },
      data: { key: value, same: "c2FtZQ==" },
    });
    server.on("GET /api/v1/namespaces/shop/secrets/s", { body: secret("b2xk") });
    server.on("PATCH /api/v1/namespaces/shop/secrets/s", { body: secret("bmV3") });
    const { code, stdout } = await runTsctl(["diff", "-f", "-"], { server, input: JSON.stringify(secret("bmV3")) });
    assert.equal(code, 1);
    assert.match(stdout, /-.*\*\*\* \(before\)[\s\S]*\+.*\*\*\* \(after\)/);
    assert.doesNotMatch(stdout, /b2xk|bmV3|c2FtZQ/);
    assert.equal(server.asked("PATCH")[0]?.query.get("dryRun"), "All");
  });
});
