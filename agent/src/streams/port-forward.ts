import { isCancellation, TesseraError } from "@tessera/proto";
import { type PortSession, type Runtime, RuntimeError } from "@tessera/runtime-native";
import type { StreamPeer } from "./stream-peer.ts";

/** How long a program may take to read what is left once the client is gone. */
const LAST_BYTES_TIMEOUT_MS = 10_000;

export interface PortTarget {
  readonly sandbox: string;
  readonly port: number;
}

/** Joins the stream to a connection to a port of the pod. Ends well when both directions have ended. */
export async function serveForward(runtime: Pick<Runtime, "connect">, target: PortTarget, peer: StreamPeer): Promise<void> {
  // What is left when the client goes is broken off, so that the pod's program does not take it for an end.
  const gone = new AbortController();
  const signal = AbortSignal.any([peer.signal, gone.signal]);
  let hasOutputEnded = false;
  const output = {
    data: (chunk: Uint8Array) => peer.send("stdout", chunk),
    end: async () => {
      hasOutputEnded = true;
      await peer.endOutput().catch(() => undefined);
    },
  };
  try {
    const session = await runtime.connect(target.sandbox, target.port, output, signal);
    const leave = () => {
      // After the pod's last byte there is nothing that could be cut short.
      if (!hasOutputEnded) return gone.abort();
      session.end();
      const timer = setTimeout(() => gone.abort(), LAST_BYTES_TIMEOUT_MS);
      session.closed.catch(() => undefined).finally(() => clearTimeout(timer));
    };
    void feed(session, peer).then(leave, leave);
    await session.closed;
  } catch (error) {
    if (signal.aborted || isCancellation(error) || !(error instanceof RuntimeError)) throw error;
    throw new TesseraError("ServiceUnavailable", error.message, { cause: error });
  }
  await peer.exit({});
}

/** Ends when the client is gone. */
async function feed(session: PortSession, peer: StreamPeer): Promise<void> {
  for await (const frame of peer.frames()) {
    if (frame.$case === "stdin") await session.write(frame.value);
    else if (frame.$case === "stdinClosed") session.end();
  }
}
