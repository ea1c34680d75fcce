import { isCancellation, TesseraError } from "@tessera/proto";
import type { OpenStream } from "@tessera/proto/node";
import type { NodeStream } from "../nodes/node-streams.ts";
import type { Call } from "./call.ts";
import { ChannelSocket, channelProtocols } from "./channel-socket.ts";
import type { Connection } from "./connection.ts";
import { findContainer } from "./pod-container.ts";
import { toStatus } from "./status.ts";
import { exitStatus } from "./stream-end.ts";
import { isTrue } from "./watch.ts";

interface Channels {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** GET pods/exec as WebSocket: a command in a running container. */
export async function execInPod(call: Call): Promise<Connection> {
  requireWebSocket(call);
  const command = call.request.query.getAll("command");
  const channels = parseChannels(call.request.query);
  if (command.length === 0) throw new TesseraError("BadRequest", "you must specify at least 1 command for the container");
  const { nodeName, podUid, container } = await findContainer(call);
  return connect(call, nodeName, channels, { $case: "exec", value: { podUid, container, command, ...channels } });
}

/** GET pods/attach as WebSocket: the terminal or the streams of a container's own process. */
export async function attachToPod(call: Call): Promise<Connection> {
  requireWebSocket(call);
  const channels = parseChannels(call.request.query);
  const { nodeName, podUid, container } = await findContainer(call);
  return connect(call, nodeName, channels, { $case: "attach", value: { podUid, container, ...channels } });
}

/** Older clients speak SPDY, which no library for this side does. */
export function requireWebSocket({ request }: Call): void {
  const upgrade = request.headers.upgrade ?? "";
  if (upgrade.toLowerCase() === "websocket") return;
  throw new TesseraError(
    "BadRequest",
    upgrade === "" ? "Upgrade request required" : `only WebSocket streams are supported, not ${upgrade}; use kubectl 1.31 or later`,
  );
}

function parseChannels(query: URLSearchParams): Channels {
  const [stdin, stdout, stderr, tty] = ["stdin", "stdout", "stderr", "tty"].map((name) => isTrue(query.get(name))) as [
    boolean,
    boolean,
    boolean,
    boolean,
  ];
  if (!stdin && !stdout && !stderr) throw new TesseraError("BadRequest", "you must specify at least 1 of stdin, stdout, stderr");
  // A terminal has one output.
  return { stdin, stdout, stderr: stderr && !tty, tty };
}

/** The node is asked first, so that its refusal is still an ordinary answer. */
async function connect(call: Call, nodeName: string, channels: Channels, request: NonNullable<OpenStream["request"]>): Promise<Connection> {
  const stream = await call.dependencies.nodeStreams.open(nodeName, request, call.request.signal);
  return {
    protocols: channelProtocols,
    refused: () => stream.close(),
    async run(webSocket) {
      const socket = new ChannelSocket(webSocket, channels);
      try {
        await socket.greet(channels.stdout ? "stdout" : channels.stderr ? "stderr" : "error");
        const outward = pumpOut(stream, socket);
        // A node that takes no more input may still have an exit code to tell.
        const inward = pumpIn(stream, socket).catch(() => outward);
        await Promise.race([outward, inward]);
      } catch (error) {
        if (!isCancellation(error)) call.dependencies.log.debug({ err: error, path: call.request.path }, "stream broke");
        await socket.end(toStatus(error));
      } finally {
        stream.close();
      }
    },
  };
}

/** From the node to the client; resolves after the exit was told. */
async function pumpOut(stream: NodeStream, socket: ChannelSocket): Promise<void> {
  for await (const { frame } of stream.frames) {
    switch (frame?.$case) {
      case "stdout":
      case "stderr":
        await socket.write(frame.$case, frame.value);
        break;
      case "exit":
        await socket.end(exitStatus(frame.value));
        return;
    }
    if (socket.closed.aborted) return;
  }
  throw new TesseraError("ServiceUnavailable", "the node ended the stream without an exit code");
}

/** From the client to the node; resolves when the client is gone, and with it the interest in the command. */
async function pumpIn(stream: NodeStream, socket: ChannelSocket): Promise<void> {
  for await (const frame of socket.frames()) await stream.send(frame);
}
