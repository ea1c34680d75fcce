import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { TesseraError } from "@tessera/proto";
import { createWebSocketStream, type WebSocket } from "ws";

/** One socket carries one connection: channel 0 is its data, channel 1 says what went wrong, 255 that a channel has ended. */
export const forwardProtocols = ["v5.channel.k8s.io"] as const;

const channel = { data: 0, error: 1, close: 255 } as const;
const maxFrame = 64 * 1024;

/** Listens on the address until the signal is aborted; port 0 takes a free one. */
export async function listen(host: string, port: number, handle: (socket: Socket) => void): Promise<Server> {
  // What one side has no more to say must not cut the other short.
  const server = createServer({ allowHalfOpen: true }, handle);
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === "EADDRINUSE" ? "the port is taken; choose another one, or 0 for any" : (cause as Error).message;
    throw new TesseraError("Conflict", `cannot listen on ${host}:${port}: ${why}`, { cause });
  }
  return server;
}

export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

/** Carries one local connection over a WebSocket of its own, to the end of both directions. Throws what the pod's side says went wrong. */
export async function carry(local: Socket, remote: WebSocket): Promise<void> {
  // ws keeps the bounds: it reads no more while this stream is not read, and tells when it is full.
  const messages = createWebSocketStream(remote, { readableObjectMode: true });
  local.on("error", () => remote.terminate());
  local.once("close", () => {
    if (local.readableEnded && local.writableFinished) remote.close();
    else remote.terminate();
  });
  messages.on("error", () => {});
  const sending = send(local, messages).catch(() => remote.terminate());
  try {
    await receive(messages, local);
    local.end();
    await sending;
  } catch (error) {
    local.resetAndDestroy();
    throw error;
  } finally {
    remote.terminate();
  }
}

async function send(local: Socket, messages: NodeJS.WritableStream): Promise<void> {
  const write = async (message: Buffer) => {
    if (!messages.write(message)) await once(messages, "drain");
  };
  for await (const chunk of local as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length; at += maxFrame) {
      await write(Buffer.concat([Buffer.of(channel.data), chunk.subarray(at, at + maxFrame)]));
    }
  }
  await write(Buffer.of(channel.close, channel.data));
}

async function receive(messages: AsyncIterable<Buffer>, local: Socket): Promise<void> {
  // Each channel begins with two bytes that name the port.
  const begun = new Set<number>();
  let fault = "";
  let hasEnded = false;
  try {
    for await (const message of messages) {
      const [number = channel.close] = message;
      const isFirst = number !== channel.close && !begun.has(number);
      begun.add(number);
      const body = message.subarray(isFirst ? 3 : 1);
      if (number === channel.error) fault += body.toString();
      else if (number === channel.close) {
        hasEnded = true;
        local.end();
      } else if (body.length > 0 && !local.write(body)) await Promise.race([once(local, "drain"), once(local, "close")]);
    }
  } catch {
    // Judged below, by what had come until then.
  }
  if (fault !== "") throw new TesseraError("ServiceUnavailable", fault);
  if (!hasEnded) throw new TesseraError("ServiceUnavailable", "the connection to the pod was lost");
}
