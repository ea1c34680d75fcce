import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { clusterName, exampleImage, tsctlOk } from "../harness/cluster.ts";
import { scenario, shellPod } from "../harness/scenario.ts";

const nodes = ["node-1", "node-2", "node-3"];

function serverOn(node: string): object {
  return shellPod(`on-${node}`, "exec httpd -f -vv -p 8080 -h /var/www", { pod: { nodeName: node } });
}

scenario("every pod reaches every pod on every node, and is seen with its own address", async (cluster) => {
  await cluster.apply(...nodes.map(serverOn));
  await cluster.waitReady(...nodes.map((node) => `on-${node}`));
  const addresses = new Map<string, string>();
  for (const node of nodes) addresses.set(node, (await cluster.getPod(`on-${node}`)).status.podIP ?? "none");
  assert.equal(new Set(addresses.values()).size, nodes.length);

  for (const from of nodes) {
    for (const to of nodes) {
      const page = await cluster.kubectlOk([
        "exec",
        `on-${from}`,
        "--",
        "timeout",
        "5",
        "wget",
        "-q",
        "-O",
        "-",
        `http://${addresses.get(to)}:8080/?from=${from}`,
      ]);
      assert.equal(page, "Hello from a Tessera pod.\n", `${from} -> ${to}`);
    }
  }
  for (const to of nodes) {
    const log = await cluster.kubectlOk(["logs", `on-${to}`]);
    for (const from of nodes.filter((node) => node !== to))
      assert.ok(log.includes(`${addresses.get(from)}`), `${to} saw ${from} by its address:\n${log}`);
  }
});

scenario("two pods on one node reach each other", async (cluster) => {
  await cluster.apply(serverOn("node-1"), shellPod("client", "exec sleep 1000", { pod: { nodeName: "node-1" } }));
  await cluster.waitReady("on-node-1", "client");
  const address = (await cluster.getPod("on-node-1")).status.podIP;
  assert.match(
    await cluster.kubectlOk(["exec", "client", "--", "timeout", "5", "wget", "-q", "-O", "-", `http://${address}:8080/`]),
    /Hello/,
  );
});

scenario("a host network pod has its node's address", async (cluster) => {
  const pod = shellPod("host", "exec sleep 1000", { pod: { hostNetwork: true, nodeName: "node-2" }, container: { image: exampleImage } });
  await cluster.apply(pod);
  await cluster.waitReady("host");
  const { status } = await cluster.getPod("host");
  assert.equal(status.podIP, status.hostIP);
  assert.match(await cluster.kubectlOk(["exec", "host", "--", "ip", "addr"]), new RegExp(`inet ${status.hostIP?.replaceAll(".", "\\.")}/`));
});

scenario("outside of the cluster a pod is seen with its node's address", async (cluster) => {
  const { subnet } = JSON.parse(await tsctlOk(["dev", "status", "--name", clusterName, "-o", "json"])) as { subnet: string };
  const outside = subnet.replace(/\d+\/\d+$/, "1");
  const callers: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    callers.push(request.socket.remoteAddress);
    response.end("outside\n");
  });
  server.listen(0, outside);
  await once(server, "listening");
  try {
    await cluster.apply(shellPod("caller", "exec sleep 1000", { pod: { nodeName: "node-3" } }));
    await cluster.waitReady("caller");
    const url = `http://${outside}:${(server.address() as AddressInfo).port}/`;
    assert.equal(await cluster.kubectlOk(["exec", "caller", "--", "timeout", "5", "wget", "-q", "-O", "-", url]), "outside\n");
    assert.deepEqual(callers, [(await cluster.getPod("caller")).status.hostIP]);
  } finally {
    server.close();
  }
});
