import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { lastAppliedAnnotation } from "../manifest/last-applied.ts";
import { FakeServer, status } from "../testing/fake-server.ts";
import { runTsctl } from "../testing/run.ts";

const maps = "/api/v1/namespaces/shop/configmaps";
const manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: conf\ndata:\n  a: '1'\n";
const lastApplied = (data: object) =>
  `${JSON.stringify({ apiVersion: "v1", data, kind: "ConfigMap", metadata: { annotations: {}, name: "conf", namespace: "shop" } })}\n`;
const stored = (data: object, applied?: object) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: {
    name: "conf",
    namespace: "shop",
    resourceVersion: "5",
    annotations: applied === undefined ? undefined : { [lastAppliedAnnotation]: lastApplied(applied) },
  },
  data,
});
const apply = async (server: FakeServer, input = manifest, ...flags: string[]) =>
  await runTsctl(["apply", "-f", "-", ...flags], { server, input });

describe("apply", () => {
  it("creates what is not there, with the annotation that kubectl reads, and asks for strict decoding", async () => {
    await using server = await FakeServer.start();
    server.on(`POST ${maps}`, { status: 201, body: stored({ a: "1" }) });
    const { code, stdout } = await apply(server);
    assert.deepEqual([code, stdout], [0, "configmap/conf created\n"]);
    const [post] = server.asked("POST");
    assert.equal(JSON.parse(post?.body ?? "").metadata.annotations[lastAppliedAnnotation], lastApplied({ a: "1" }));
    assert.equal(post?.query.get("fieldValidation"), "Strict");
  });

  it("sends nothing when nothing differs", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${maps}/conf`, { body: stored({ a: "1", theirs: "x" }, { a: "1" }) });
    const { code, stdout } = await apply(server);
    assert.deepEqual([code, stdout], [0, "configmap/conf unchanged\n"]);
    assert.deepEqual(server.asked("PATCH"), []);
  });

  it("patches the difference of three: what was applied, what is wanted, what is there", async () => {
    await using server = await FakeServer.start();
    const current = stored({ a: "0", b: "2", theirs: "x" }, { a: "0", b: "2" });
    server.on(`GET ${maps}/conf`, { body: current });
    server.on(`PATCH ${maps}/conf`, { body: { ...current, metadata: { ...current.metadata, resourceVersion: "6" } } });
    const { stdout } = await apply(server);
    assert.equal(stdout, "configmap/conf configured\n");
    const [patch] = server.asked("PATCH");
    assert.equal(patch?.headers["content-type"], "application/strategic-merge-patch+json");
    assert.deepEqual(JSON.parse(patch?.body ?? ""), {
      metadata: { annotations: { [lastAppliedAnnotation]: lastApplied({ a: "1" }) } },
      data: { a: "1", b: null },
    });
  });

  it("says unchanged when the server found nothing to change", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${maps}/conf`, { body: stored({ a: "1" }) }).on(`PATCH ${maps}/conf`, { body: stored({ a: "1" }) });
    assert.equal((await apply(server)).stdout, "configmap/conf unchanged\n");
  });

  it("patches after all when somebody else creates it in between", async () => {
    await using server = await FakeServer.start();
    const notFound = { status: 404, body: status("NotFound", 'configmaps "conf" not found') };
    server.on(`GET ${maps}/conf`, notFound, { body: stored({ a: "0" }) });
    server.on(`POST ${maps}`, { status: 409, body: status("AlreadyExists", "it is there") });
    server.on(`PATCH ${maps}/conf`, { body: { ...stored({ a: "1" }), metadata: { name: "conf", resourceVersion: "6" } } });
    assert.deepEqual(await apply(server), { code: 0, stdout: "configmap/conf configured\n", stderr: "" });
  });

  it("tells every fault with its field and the line in the file, by line", async () => {
    await using server = await FakeServer.start();
    const causes = [
      { reason: "FieldValueInvalid", field: "data.a", message: 'Invalid value: "1": too small' },
      { reason: "FieldValueInvalid", field: "metadata.nam", message: "unknown field, did you mean name?" },
    ];
    server.on(`POST ${maps}`, { status: 422, body: status("Invalid", "two faults", { causes }) });
    const { code, stdout, stderr } = await apply(server);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.equal(
      stderr,
      'error: stdin: metadata.nam: unknown field, did you mean name? (line 3)\nerror: stdin: data.a: Invalid value: "1": too small (line 6)\n',
    );
  });

  it("tells a refusal without fields with the line where the object begins", async () => {
    await using server = await FakeServer.start();
    server.on(`POST ${maps}`, { status: 403, body: status("Forbidden", "not you") });
    assert.equal((await apply(server, `# first\n${manifest}`)).stderr, "error: stdin (line 2): not you\n");
  });

  it("goes on after an object that is refused, and ends with 1", async () => {
    await using server = await FakeServer.start();
    server.on(`POST ${maps}`, { status: 403, body: status("Forbidden", "not you") }, { status: 201, body: stored({}) });
    const { code, stdout, stderr } = await apply(server, `${manifest}---\n${manifest}`);
    assert.equal(code, 1);
    assert.match(stderr, /not you/);
    assert.equal(stdout, "configmap/conf created\n");
  });

  it("refuses a kind that the server does not have, and applies the others", async () => {
    await using server = await FakeServer.start();
    server.on(`POST ${maps}`, { status: 201, body: stored({}) });
    const { code, stdout, stderr } = await apply(server, `apiVersion: v1\nkind: Podd\nmetadata: {name: x}\n---\n${manifest}`);
    assert.deepEqual([code, stdout], [1, "configmap/conf created\n"]);
    assert.equal(stderr, 'error: stdin: kind: the server has no kind "Podd" in v1; "tsctl api-resources" shows those it has (line 2)\n');
  });

  it("refuses a namespace other than -n, and uses the manifest's own otherwise", async () => {
    await using server = await FakeServer.start();
    const elsewhere = manifest.replace("  name: conf", "  name: conf\n  namespace: other");
    server.on("POST /api/v1/namespaces/other/configmaps", { status: 201, body: stored({}) });
    assert.equal((await apply(server, elsewhere)).stdout, "configmap/conf created\n");
    const { code, stderr } = await apply(server, elsewhere, "-n", "third");
    assert.equal(code, 1);
    assert.match(stderr, /metadata\.namespace: the manifest says "other", the command line -n third \(line 5\)/);
  });

  it("sends nothing at all when one of the files is broken", async () => {
    await using server = await FakeServer.start();
    const { code, stderr } = await apply(server, `${manifest}---\nkind: [oops\n`);
    assert.equal(code, 1);
    assert.match(stderr, /error: stdin: .*line 9/);
    assert.deepEqual(server.requests, []);
  });

  it("only asks with --dry-run=server, and says so", async () => {
    await using server = await FakeServer.start();
    server.on(`POST ${maps}`, { status: 201, body: stored({}) });
    assert.equal((await apply(server, manifest, "--dry-run=server")).stdout, "configmap/conf created (server dry run)\n");
    assert.equal(server.asked("POST")[0]?.query.get("dryRun"), "All");
  });

  it("notes that what it changed is on its way out", async () => {
    await using server = await FakeServer.start();
    const leaving = { ...stored({ a: "1" }, { a: "1" }) };
    server.on(`GET ${maps}/conf`, { body: { ...leaving, metadata: { ...leaving.metadata, deletionTimestamp: "2026-11-21T12:00:00Z" } } });
    assert.match((await apply(server)).stderr, /configmap\/conf is being deleted; apply it again once it is gone/);
  });
});
