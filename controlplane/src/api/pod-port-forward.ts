import { isCancellation, TesseraError } from "@tessera/proto";
import { createWebSocketStream, type WebSocket } from "ws";
import type { Call } from "./call.ts";
import { channelProtocols } from "./channel-socket.ts";
import type { Connection } from "./connection.ts";
import { requireWebSocket } from "./pod-exec.ts";
import { maxPorts, serveChannels } from "./port-forward/channel-connections.ts";
import type { ForwardTarget } from "./port-forward/forwarded-connection.ts";
import { serveTunnel } from "./port-forward/tunnel.ts";
import { keepAlive } from "./socket-pings.ts";
import { SpdyError } from "./spdy/spdy-error.ts";

/** SPDY in the messages of a WebSocket, one tunnel for any number of connections: kubectl since 1.31. */
const tunnelProtocol = "SPDY/3.1+portforward.k8s.io";
const closure = { normal: 1000, protocolError: 1002, internalError: 1011 } as const;

/** GET pods/portforward as WebSocket: connections to ports of the pod. */
export async function forwardPorts(call: Call): Promise<Connection> {
  requireWebSocket(call);
  const { path, request, dependencies } = call;
  const ports = parsePorts(request.query);
  const pod = (await dependencies.registry.pods.read(path.namespace, path.name)).value;
  const nodeName = pod.spec?.nodeName ?? "";
  const podUid = pod.metadata?.uid ?? "";
  if (nodeName === "") {
    throw new TesseraError("BadRequest", `pod ${path.name} does not have a host assigned`, { details: { name: path.name, kind: "pods" } });
  }
  const target: ForwardTarget = {
    podName: path.name,
    open: (port, signal) => dependencies.nodeStreams.open(nodeName, { $case: "portForward", value: { podUid, port } }, signal),
  };
  return {
    protocols: ports.length === 0 ? [tunnelProtocol] : [tunnelProtocol, ...channelProtocols],
    refused: () => {},
    async run(socket, protocol) {
      // "close" follows and ends everything.
      socket.on("error", () => {});
      keepAlive(socket);
      try {
        if (protocol === tunnelProtocol) await runTunnel(socket, target);
        else await serveChannels(socket, protocol, ports, target);
        socket.close(closure.normal);
      } catch (error) {
        if (!isCancellation(error)) dependencies.log.debug({ err: error, path: request.path }, "port forwarding broke");
        socket.close(error instanceof SpdyError ? closure.protocolError : closure.internalError);
      }
    },
  };
}

async function runTunnel(socket: WebSocket, target: ForwardTarget): Promise<void> {
  const bytes = createWebSocketStream(socket);
  // A client that is gone ends the reading below.
  bytes.on("error", () => {});
  let drained: PromiseWithResolvers<void> | undefined;
  const drain = () => {
    drained?.resolve();
    drained = undefined;
  };
  bytes.on("drain", drain).on("close", drain);
  const send = async (frame: Buffer) => {
    if (bytes.destroyed || !bytes.writable) throw new DOMException("the client is gone", "AbortError");
    if (bytes.write(frame)) return;
    drained ??= Promise.withResolvers();
    await drained.promise;
  };
  await serveTunnel(bytes, send, target);
}

/** The protocol without a tunnel names its ports in the query: "ports=80&ports=443". */
function parsePorts(query: URLSearchParams): number[] {
  const words = query.getAll("ports").flatMap((word) => word.split(","));
  const ports = words.map(Number);
  const wrong = words.find((word, i) => !/^\d{1,5}$/.test(word) || ports[i] === 0 || Number(word) > 65_535);
  if (wrong !== undefined) throw new TesseraError("BadRequest", `ports: Invalid value: ${JSON.stringify(wrong)}: must be from 1 to 65535`);
  if (ports.length > maxPorts)
    throw new TesseraError("BadRequest", `ports: Too many: ${ports.length}: must have at most ${maxPorts} items`);
  return ports;
}
