import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { clusterParts, until } from "../harness/cluster.ts";
import { type Scenario, scenario, shellPod } from "../harness/scenario.ts";

const runtimeNative = resolve(import.meta.dirname, "../../runtime-native");
const page = "Hello from a Tessera pod.\n";

const onNode1 = { nodeName: "node-1" };
const sleeper = (name: string, pod: object) => shellPod(name, "exec sleep 1000", { pod });
/** A pod in the node's network is the node, as far as packets go. */
const nodeItself = (number: number) => sleeper(`node-${number}-itself`, { nodeName: `node-${number}`, hostNetwork: true });

async function addressOfNode1(cluster: Scenario, pod: string): Promise<string> {
  const { hostIP } = (await cluster.getPod(pod)).status;
  assert.ok(hostIP);
  return hostIP;
}

/** What the pod gets from there; undefined when nobody answers. */
async function get(cluster: Scenario, pod: string, address: string): Promise<string | undefined> {
  const { code, stdout } = await cluster.kubectl(["exec", pod, "--", "timeout", "5", "wget", "-q", "-O", "-", `http://${address}/`]);
  return code === 0 ? stdout : undefined;
}

/** What is sent back for one datagram from here. */
async function askDatagram(address: string, port: number): Promise<string> {
  const socket = createSocket("udp4");
  try {
    socket.connect(port, address);
    await once(socket, "connect");
    socket.send("?");
    const [answer] = (await once(socket, "message", { signal: AbortSignal.timeout(30_000) })) as [Buffer];
    return answer.toString();
  } finally {
    socket.close();
  }
}

scenario("a port of the node leads to the pod, from wherever one asks, and the pod sees who does", async (cluster) => {
  await promisify(execFile)("make", ["-s", "-C", runtimeNative, "probes"]);
  const web = shellPod("web", "exec httpd -f -vv -p 8080 -h /var/www", {
    container: {
      ports: [
        { containerPort: 8080, hostPort: 28_081 },
        { containerPort: 8080, hostPort: 28_082, hostIP: "127.0.0.1" },
        { containerPort: 8081 },
      ],
    },
    pod: {
      ...onNode1,
      initContainers: [
        {
          name: "datagrams",
          image: "tessera.local/busybox:1",
          restartPolicy: "Always",
          command: ["/probe/udp", "serve", "9001", "web"],
          ports: [{ containerPort: 9001, hostPort: 28_081, protocol: "UDP" }],
          volumeMounts: [{ name: "probe", mountPath: "/probe" }],
        },
      ],
      volumes: [{ name: "probe", hostPath: { path: `${runtimeNative}/build/probe` } }],
    },
  });
  await cluster.apply(web, nodeItself(1), nodeItself(2), sleeper("neighbour", onNode1), sleeper("far", { nodeName: "node-2" }));
  await cluster.waitReady("web", "node-1-itself", "node-2-itself", "neighbour", "far");
  const node1 = await addressOfNode1(cluster, "web");

  for (const pod of ["node-1-itself", "node-2-itself", "neighbour", "far", "web"])
    assert.equal(await get(cluster, pod, `${node1}:28081`), page, `${pod} asks the node`);
  assert.equal(await (await fetch(`http://${node1}:28081/`, { signal: AbortSignal.timeout(30_000) })).text(), page, "from outside");
  assert.equal(await get(cluster, "node-1-itself", "127.0.0.1:28081"), page);
  assert.equal(await get(cluster, "node-1-itself", "127.0.0.1:28082"), page);
  const log = await cluster.kubectlOk(["logs", "web", "-c", "main"]);
  for (const pod of ["node-1-itself", "node-2-itself", "neighbour"]) {
    const { podIP } = (await cluster.getPod(pod)).status;
    assert.ok(log.includes(`${podIP}]`), `the server saw ${pod} by its address, ${podIP}:\n${log}`);
  }
  assert.match(await askDatagram(node1, 28_081), /^web /);

  // Only where it was asked for.
  for (const pod of ["node-1-itself", "node-2-itself", "neighbour"])
    assert.equal(await get(cluster, pod, `${node1}:28082`), undefined, pod);
  for (const port of [8080, 8081]) assert.equal(await get(cluster, "node-2-itself", `${node1}:${port}`), undefined);
  assert.match(await cluster.kubectlOk(["describe", "pod", "web"]), /Host Ports: +28081\/TCP, 28082\/TCP, 0\/TCP/);

  await cluster.kubectlOk(["delete", "pod", "web"]);
  assert.equal(await get(cluster, "node-2-itself", `${node1}:28081`), undefined);
});

/** One line there and back. */
async function echo(socket: Socket, text: string): Promise<void> {
  socket.write(`${text}\n`);
  const [answer] = (await once(socket, "data", { signal: AbortSignal.timeout(20_000) })) as [Buffer];
  assert.equal(answer.toString(), `${text}\n`);
}

scenario("connections through a port of the node outlive its agent, whose successor keeps the port", async (cluster) => {
  const port = { containerPort: 9000, hostPort: 28_083 };
  await cluster.apply(shellPod("echo", "exec nc -ll -p 9000 -e cat", { container: { ports: [port] }, pod: onNode1 }), nodeItself(1));
  await cluster.waitReady("echo", "node-1-itself");
  const socket = connect(port.hostPort, await addressOfNode1(cluster, "echo"));
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(30_000) });
    await echo(socket, "before");
    const { pid } = (await clusterParts()).find(({ name }) => name === "node-1 agent") ?? {};
    assert.ok(pid);
    process.kill(pid, "SIGKILL");
    await echo(socket, "without an agent");
    const take = ["exec", "node-1-itself", "--", "timeout", "1", "nc", "-l", "-p", String(port.hostPort)];
    await until("the next agent to hold the port", async () => {
      const { stderr } = await cluster.kubectl(take);
      return /Address already in use/.test(stderr) ? true : undefined;
    });
    await echo(socket, "after");
  } finally {
    socket.destroy();
  }
});

scenario("a port that a process of the node listens on is told with its name, and had when it is free", async (cluster) => {
  await cluster.apply(shellPod("squatter", "exec httpd -f -p 28084 -h /tmp", { pod: { ...onNode1, hostNetwork: true } }));
  await cluster.waitReady("squatter");
  // Bound by name: the scheduler does not know of the process.
  const web = { container: { ports: [{ containerPort: 8080, hostPort: 28_084 }] }, pod: onNode1 };
  await cluster.apply(shellPod("web", "exec httpd -f -p 8080 -h /var/www", web));
  const taken = new RegExp(`port 28084/TCP of the node is taken by process \\d+ \\(httpd\\) of pod "${cluster.namespace}/squatter"`);
  await until("the event", async () =>
    taken.test(await cluster.kubectlOk(["get", "events", "--field-selector", "reason=FailedCreatePodSandBox"])) ? true : undefined,
  );
  assert.match((await cluster.getPod("web")).status.containerStatuses?.[0]?.state.waiting?.message ?? "", taken);
  await cluster.kubectlOk(["delete", "pod", "squatter"]);
  await cluster.kubectlOk(["wait", "--for=condition=Ready", "--timeout=90s", "pod/web"], { timeoutMs: 100_000 });
  const node1 = await addressOfNode1(cluster, "web");
  assert.equal(await (await fetch(`http://${node1}:28084/`, { signal: AbortSignal.timeout(30_000) })).text(), page);
});
