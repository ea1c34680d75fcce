import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeServer, listOrWatch, status, watchOf } from "../testing/fake-server.ts";
import { runTsctl } from "../testing/run.ts";

const pod = (name: string, version = "1") => ({
  metadata: { name, namespace: "shop", resourceVersion: version },
  status: { phase: "Running" },
});
const table = (...names: string[]) => ({
  kind: "Table",
  metadata: { resourceVersion: "7" },
  columnDefinitions: [{ name: "Name" }, { name: "Status" }, { name: "Node", priority: 1 }],
  rows: names.map((name) => ({ cells: [name, "Running", "node-1"], object: pod(name) })),
});
const pods = "/api/v1/namespaces/shop/pods";

describe("get", () => {
  it("asks for a Table of the context's namespace and prints its first-class columns", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}`, { body: table("a", "b") });
    const { code, stdout, stderr } = await runTsctl(["get", "po"], { server });
    assert.deepEqual([code, stdout, stderr], [0, "NAME   STATUS\na      Running\nb      Running\n", ""]);
    const asked = server.requests.at(-1);
    assert.match(asked?.headers.accept ?? "", /as=Table;v=v1;g=meta\.k8s\.io/);
  });

  it("shows all columns with -o wide, namespaces with -A, and passes selectors on", async () => {
    await using server = await FakeServer.start();
    server.on("GET /api/v1/pods", { body: table("a") });
    const { stdout } = await runTsctl(["get", "pods", "-A", "-owide", "-l", "app=web", "--field-selector", "status.phase=Running"], {
      server,
    });
    assert.equal(stdout, "NAMESPACE   NAME   STATUS    NODE\nshop        a      Running   node-1\n");
    const { query } = server.requests.at(-1) ?? {};
    assert.equal(query?.get("labelSelector"), "app=web");
    assert.equal(query?.get("fieldSelector"), "status.phase=Running");
  });

  it("says that there is nothing, on stderr", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}`, { body: table() });
    const { code, stdout, stderr } = await runTsctl(["get", "pods"], { server });
    assert.deepEqual([code, stdout, stderr], [0, "", 'No pods in namespace "shop" (-A shows all namespaces)\n']);
  });

  it("puts types before the names when there are several", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}`, { body: table("a") }).on("GET /api/v1/nodes", { body: table("n") });
    const { stdout } = await runTsctl(["get", "pods,nodes"], { server });
    assert.equal(stdout, "NAME    STATUS\npod/a   Running\n\nNAME     STATUS\nnode/n   Running\n");
  });

  it("shows what is there and tells what is not", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}/a`, { body: table("a") });
    const { code, stdout, stderr } = await runTsctl(["get", "pod", "nope", "a"], { server });
    assert.deepEqual([code, stdout, stderr], [1, "NAME   STATUS\na      Running\n", 'error: pods "nope" not found\n']);
    const ignored = await runTsctl(["get", "pod", "nope", "--ignore-not-found"], { server });
    assert.deepEqual(ignored, { code: 0, stdout: "", stderr: "" });
  });

  for (const [format, text] of [
    ["name", "pod/a\npod/b\n"],
    ["jsonpath={.items[*].metadata.name}", "a b"],
    ["jsonpath={.items[0].kind}", "Pod"],
  ] as const) {
    it(`prints -o ${format}`, async () => {
      await using server = await FakeServer.start();
      server.on(`GET ${pods}`, { body: { kind: "PodList", apiVersion: "v1", items: [pod("a"), pod("b")] } });
      assert.equal((await runTsctl(["get", "pods", "-o", format], { server })).stdout, text);
    });
  }

  it("prints one named object as itself, several as a List", async () => {
    await using server = await FakeServer.start();
    const object = { apiVersion: "v1", kind: "Pod", ...pod("a") };
    server.on(`GET ${pods}/a`, { body: object });
    const json = await runTsctl(["get", "pod", "a", "-o", "json"], { server });
    assert.deepEqual(JSON.parse(json.stdout), object);
    const yaml = await runTsctl(["get", "pod/a", "pod/a", "-o", "yaml"], { server });
    assert.match(
      yaml.stdout,
      /^apiVersion: v1\nkind: List\nmetadata:\n {2}resourceVersion: ""\nitems:\n {2}- apiVersion: v1\n {4}kind: Pod\n/,
    );
  });

  it("follows changes over a watch that ends, and stops at Ctrl-C", async () => {
    await using server = await FakeServer.start();
    const interrupted = new AbortController();
    const changed = (name: string, version: string) => ({
      type: "MODIFIED",
      object: { ...table(name), columnDefinitions: [], metadata: {}, rows: [{ cells: [name, version, ""], object: pod(name, version) }] },
    });
    const versions: (string | null)[] = [];
    server.on(`GET ${pods}`, async (request, response) => {
      if (request.query.get("watch") !== "true") {
        response.end(JSON.stringify(table("a")));
        return;
      }
      versions.push(request.query.get("resourceVersion"));
      if (versions.length === 1) response.end(`${JSON.stringify(changed("a", "8"))}\n`);
      else {
        response.write(`${JSON.stringify(changed("a", "9"))}\n`);
        setTimeout(() => interrupted.abort(), 20);
      }
    });
    const { code, stdout } = await runTsctl(["get", "pods", "-w"], { server, signal: interrupted.signal });
    assert.deepEqual([code, stdout], [0, "NAME   STATUS\na      Running\na      8\na      9\n"]);
    assert.deepEqual(versions, ["7", "8"]);
  });

  it("ends a watch with the server's error in it", async () => {
    await using server = await FakeServer.start();
    const expired = { type: "ERROR", object: status("Expired", "too old resource version") };
    server.on(`GET ${pods}`, listOrWatch(table(), watchOf(expired)));
    const { code, stderr } = await runTsctl(["get", "pods", "-w"], { server });
    assert.equal(code, 1);
    assert.match(stderr, /error: too old resource version/);
  });

  it("shows the server's warnings", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}`, (_request, response) => {
      response.setHeader("warning", '299 - "say \\"v2\\" instead"');
      response.end(JSON.stringify(table("a")));
    });
    assert.equal((await runTsctl(["get", "pods"], { server })).stderr, 'Warning: say "v2" instead\n');
  });

  it("tells a broken answer from an empty one", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pods}`, (_request, response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write("{");
      setTimeout(() => response.destroy(), 10);
    });
    const { code, stderr } = await runTsctl(["get", "pods"], { server });
    assert.equal(code, 1);
    assert.match(stderr, /the connection was lost in the middle/);
  });

  it("refuses a type that the server does not have", async () => {
    await using server = await FakeServer.start();
    const { code, stderr } = await runTsctl(["get", "pots"], { server });
    assert.deepEqual([code, stderr], [1, 'error: the server has no resource type "pots"; "tsctl api-resources" shows those it has\n']);
  });

  it("takes flags as kubectl writes them", async () => {
    await using server = await FakeServer.start();
    server.on("GET /api/v1/pods", { body: table("a") });
    const { stdout } = await runTsctl(["get", "pods", "--all-namespaces=true", "--watch=false", "--no-headers=true"], { server });
    assert.equal(stdout, "shop   a   Running\n");
  });
});
