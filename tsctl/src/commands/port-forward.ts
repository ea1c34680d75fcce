import type { Socket } from "node:net";
import { isCancellation, type Pod, TesseraError } from "@tessera/proto";
import { type ClusterContext, type CommandContext, defineCommand, flag } from "../command.ts";
import { carry, forwardProtocols, listen, portOf } from "../remote/forwarder.ts";

interface PortPair {
  /** 0: any that is free. */
  readonly local: number;
  readonly remote: number;
}

interface PortForwardOptions {
  readonly pod: string;
  readonly ports: readonly string[];
  readonly address: string;
}

export const portForwardCommand = defineCommand<PortForwardOptions>({
  name: "port-forward",
  summary: "Reach a pod's ports from this machine",
  examples: `# Port 8080 here leads to port 80 of the pod, until Ctrl-C
tsctl port-forward hello 8080:80
# The same port on both sides, and any free one here
tsctl port-forward hello 5432 :80`,
  declare: (command) =>
    command
      .argument("<pod>", "name of the pod")
      .argument("<ports...>", "PORT, LOCAL:PORT, or :PORT for any local one")
      .option("--address <ip>", "where to listen", "127.0.0.1"),
  parse: ([pod = "", ...ports], flags) => ({
    pod: pod.replace(/^pods?\//, ""),
    ports,
    address: flag.text(flags["address"]) ?? "127.0.0.1",
  }),
  validate: ({ pod, ports }) => [
    ...(pod.includes("/") ? [`"${pod}" is no pod: ports are forwarded to pods`] : []),
    ...(ports.length === 0 ? ["say which port, such as 8080:80"] : []),
    ...ports.flatMap((word) => (parsePorts(word) === undefined ? [`"${word}" is no pair of ports such as 8080:80, 80 or :80`] : [])),
  ],
  run: async ({ pod, ports, address }, context) => {
    const cluster = await context.cluster();
    const path = `/api/v1/namespaces/${encodeURIComponent(cluster.namespace)}/pods/${encodeURIComponent(pod)}`;
    const { status } = await cluster.api.request<Pod>("GET", path, { signal: context.signal });
    if (status?.phase !== "Running") {
      throw new TesseraError("BadRequest", `pod "${pod}" is ${status?.phase ?? "Pending"}: only a running one has ports`);
    }
    await using servers = new AsyncDisposableStack();
    const sockets = new Set<Socket>();
    for (const word of ports) {
      const pair = parsePorts(word) ?? { local: 0, remote: 0 };
      const server = await listen(address, pair.local, (socket) => {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
        void forwardOne(socket, `${path}/portforward`, pair.remote, cluster, context);
      });
      servers.defer(() => new Promise<void>((resolve) => server.close(() => resolve())));
      await context.out.write(`Forwarding from ${address}:${portOf(server)} to port ${pair.remote} of ${pod}\n`);
    }
    await new Promise<void>((resolve) => {
      context.signal.addEventListener("abort", () => resolve(), { once: true });
      if (context.signal.aborted) resolve();
    });
    for (const socket of sockets) socket.destroy();
    return 130;
  },
});

function parsePorts(word: string): PortPair | undefined {
  const match = /^(?:(\d{0,5}):)?(\d{1,5})$/.exec(word);
  const remote = Number(match?.[2]);
  const local = match?.[1] === undefined ? remote : Number(match[1]);
  return match !== null && remote > 0 && remote < 65_536 && local < 65_536 ? { local, remote } : undefined;
}

/** What goes wrong with one connection is said, and the others go on. */
async function forwardOne(socket: Socket, path: string, port: number, cluster: ClusterContext, context: CommandContext): Promise<void> {
  // Until it is carried: a client that goes away at once is nobody's fault.
  socket.on("error", () => {});
  try {
    await carry(socket, await cluster.api.websocket(path, `ports=${port}`, forwardProtocols, context.signal));
  } catch (error) {
    socket.resetAndDestroy();
    if (context.signal.aborted || isCancellation(error)) return;
    await context.err.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  }
}
