import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeServer, status } from "../testing/fake-server.ts";
import { runTsctl } from "../testing/run.ts";

const pods = "/api/v1/namespaces/shop/pods";
const pod = `${pods}/a`;
const message = (channel: number, text: string) => Buffer.concat([Buffer.of(channel), Buffer.from(text)]);

function podWith(state: object, spec: object = {}) {
  const containerStatuses = [{ name: "main", containerID: "tessera://1", state }];
  return { body: { spec: { containers: [{ name: "main", ...spec }] }, status: { containerStatuses } } };
}

/** A server on which the pod is as the first answer says, and afterwards as the others say one after the other: in the list, then in a watch. */
async function serving(first: { readonly body: unknown }, ...later: { readonly body: unknown }[]): Promise<FakeServer> {
  const server = (await FakeServer.start()).onWebSocket(`${pod}/attach`, (socket) => {
    socket.send(message(1, "out\n"));
    socket.send(message(3, JSON.stringify({ status: "Success" })));
    socket.close();
  });
  const [listed, ...watched] = later.map(({ body }) => body);
  const list = { metadata: { resourceVersion: "5" }, items: listed === undefined ? [] : [listed] };
  return server.on(`GET ${pod}`, first).on(`GET ${pods}`, { body: list }, (request, response) => {
    assert.deepEqual([request.query.get("watch"), request.query.get("resourceVersion")], ["true", "5"]);
    // Left open, as a watch is.
    for (const object of watched) response.write(`${JSON.stringify({ type: "MODIFIED", object })}\n`);
  });
}

describe("attach", () => {
  it("exits as the container did, which its status tells a moment later", async () => {
    const terminated = { exitCode: 7, containerID: "tessera://1" };
    await using server = await serving(podWith({ running: {} }), podWith({ running: {} }), podWith({ terminated }));
    const { code, stdout } = await runTsctl(["attach", "a", "-c", "main"], { server });
    assert.deepEqual([code, stdout], [7, "out\n"]);
    assert.equal(server.asked("GET").filter(({ path }) => path === pods).length, 2);
  });

  it("is over when the pod is gone, or goes on without us", async () => {
    await using gone = await serving(podWith({ running: {} }));
    assert.equal((await runTsctl(["attach", "a", "-c", "main"], { server: gone })).code, 0);
    await using running = await serving(podWith({ running: {} }), podWith({ running: {} }));
    assert.equal((await runTsctl(["attach", "a", "-c", "main"], { server: running })).code, 0);
  });

  it("finds containers that were put into the pod later", async () => {
    const ended = (state: object) => ({
      body: {
        spec: { ephemeralContainers: [{ name: "debug", tty: true, stdin: true }] },
        status: { ephemeralContainerStatuses: [{ name: "debug", containerID: "tessera://9", state }] },
      },
    });
    await using server = await serving(ended({ running: {} }), ended({ terminated: { exitCode: 4, containerID: "tessera://9" } }));
    const { code, stderr } = await runTsctl(["attach", "-it", "a", "-c", "debug"], { server, input: "" });
    assert.deepEqual([code, stderr], [4, ""]);
  });

  it("finds the end of a run that was followed by another", async () => {
    const containerStatuses = [
      {
        name: "main",
        containerID: "tessera://2",
        state: { running: {} },
        lastState: { terminated: { exitCode: 3, containerID: "tessera://1" } },
      },
    ];
    await using server = await serving(podWith({ running: {} }), { body: { spec: {}, status: { containerStatuses } } });
    assert.equal((await runTsctl(["attach", "a", "-c", "main"], { server })).code, 3);
  });

  it("says what the container was not made for", async () => {
    const terminated = { exitCode: 0, containerID: "tessera://1" };
    await using server = await serving(podWith({ running: {} }), podWith({ terminated }));
    const { code, stderr } = await runTsctl(["attach", "-it", "a", "-c", "main"], { server, input: "" });
    assert.equal(code, 0);
    assert.match(stderr, /container main was made without stdin[\s\S]*container main was made without a terminal/);
    assert.equal(server.requests.find(({ path }) => path.endsWith("/attach"))?.query.get("tty"), "false");
  });

  it("passes the server's refusal on", async () => {
    await using server = await FakeServer.start();
    server.on(`GET ${pod}`, { status: 404, body: status("NotFound", 'pods "a" not found') });
    const { code, stderr } = await runTsctl(["attach", "a", "-c", "main"], { server });
    assert.deepEqual([code, stderr], [1, 'error: pods "a" not found\n']);
  });
});
