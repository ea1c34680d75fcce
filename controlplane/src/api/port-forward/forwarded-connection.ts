import { isCancellation, TesseraError } from "@tessera/proto";
import type { NodeStream } from "../../nodes/node-streams.ts";
import { streamError } from "../stream-end.ts";

/** A client's side of one connection to a port of a pod, whatever the protocol. */
export interface ForwardedConnection {
  readonly port: number;
  /** What the client sends; throws when it breaks the connection off. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Aborted when the client breaks the connection off. */
  readonly broken: AbortSignal;
  /** Resolves when more may be sent. */
  write(data: Uint8Array): Promise<void>;
  /** The pod's side sends no more. */
  endOutput(): Promise<void>;
  /** What went wrong, for the user to read. */
  fail(message: string): Promise<void>;
}

export interface ForwardTarget {
  readonly podName: string;
  /** Opens a connection to a port of the pod, through its node. */
  readonly open: (port: number, signal: AbortSignal) => Promise<NodeStream>;
}

/** Frames to a node are not larger. */
const maxFrameBytes = 64 * 1024;

/** Carries one connection to its end. What fails is told to the client; never rejects. */
export async function forward(target: ForwardTarget, connection: ForwardedConnection): Promise<void> {
  try {
    const stream = await target.open(connection.port, connection.broken);
    try {
      await relay(stream, connection);
    } finally {
      stream.close();
    }
  } catch (error) {
    if (connection.broken.aborted || isCancellation(error)) return;
    const message = error instanceof Error ? error.message : String(error);
    await connection.fail(`error forwarding port ${connection.port} to pod ${target.podName}: ${message}`).catch(() => undefined);
  } finally {
    await connection.endOutput().catch(() => undefined);
  }
}

async function relay(stream: NodeStream, connection: ForwardedConnection): Promise<void> {
  const outward = pumpOut(stream, connection);
  const inward = pumpIn(stream, connection);
  // The pod's side may end while the client still sends, and the other way round.
  await Promise.race([outward, inward.then(() => outward), brokenOff(connection.broken)]);
}

/** What waits for the pod to read does not hold a connection open that the client has dropped. */
function brokenOff(broken: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    broken.addEventListener("abort", () => reject(broken.reason), { once: true });
    if (broken.aborted) reject(broken.reason);
  });
}

async function pumpOut(stream: NodeStream, connection: ForwardedConnection): Promise<void> {
  for await (const { frame } of stream.frames) {
    if (frame?.$case === "stdout") await connection.write(frame.value);
    else if (frame?.$case === "stdoutClosed") await connection.endOutput();
    else if (frame?.$case === "exit") {
      const error = streamError(frame.value);
      if (error !== undefined) throw error;
      return;
    }
  }
  throw new TesseraError("ServiceUnavailable", "the node ended the connection without a word");
}

/** Ends when the client has sent all. */
async function pumpIn(stream: NodeStream, connection: ForwardedConnection): Promise<void> {
  for await (const data of connection.input) {
    for (let at = 0; at < data.length; at += maxFrameBytes) {
      const value = Buffer.from(data.buffer, data.byteOffset + at, Math.min(maxFrameBytes, data.length - at));
      await stream.send({ frame: { $case: "stdin", value } });
    }
  }
  await stream.send({ frame: { $case: "stdinClosed", value: {} } });
}
