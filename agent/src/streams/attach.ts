import { isCancellation, TesseraError } from "@tessera/proto";
import type { AttachRequest } from "@tessera/proto/node";
import { type ExecSession, type Runtime, RuntimeError } from "@tessera/runtime-native";
import type { StreamPeer } from "./stream-peer.ts";

export interface AttachTarget {
  readonly sandbox: string;
  readonly container: string;
  /** What the container was made with. */
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
}

/**
 * Connects the stream with a container's own first process. Whoever leaves leaves the container running, but takes its stdin along if that is
 * for one session only. Ends well when the container ends: its exit code is in the pod's status, where clients look for it.
 *
 * As in Kubernetes, stdin for a container that was made without one goes nowhere: `kubectl attach -it` shows its output all the same. When the
 * client's stdin ends and the container's stays open, the session is over.
 */
export async function serveAttach(
  runtime: Pick<Runtime, "attach">,
  target: AttachTarget,
  request: AttachRequest,
  peer: StreamPeer,
): Promise<void> {
  const holdsStdin = request.stdin && target.stdin;
  // The end of a terminal's input would not be seen by the process: it only stays without a reader.
  const endsStdin = holdsStdin && target.stdinOnce && !target.tty;
  let isOver = false;
  const output = {
    stdout: (chunk: Uint8Array) => (request.stdout && !isOver ? peer.send("stdout", chunk) : undefined),
    stderr: (chunk: Uint8Array) => (request.stderr && !isOver ? peer.send("stderr", chunk) : undefined),
  };
  const session = await runtime.attach(target.sandbox, target.container, output, peer.signal, { endsStdin });
  try {
    await Promise.race([session.exited, feed(session, peer, holdsStdin, endsStdin)]);
  } catch (error) {
    if (isCancellation(error) || peer.signal.aborted || !(error instanceof RuntimeError)) throw error;
    throw new TesseraError("ServiceUnavailable", `attach: ${error.message}`, { cause: error });
  } finally {
    isOver = true;
    session.kill();
  }
  await peer.exit({});
}

/** Resolves when the client is gone, or has no more stdin for a container that keeps its own. */
async function feed(session: ExecSession, peer: StreamPeer, holdsStdin: boolean, endsStdin: boolean): Promise<void> {
  for await (const frame of peer.frames()) {
    if (frame.$case === "resize") session.resize(frame.value.columns, frame.value.rows);
    else if (!holdsStdin) continue;
    else if (frame.$case === "stdin") await session.write(frame.value);
    else if (frame.$case === "stdinClosed" && !endsStdin) return;
    else if (frame.$case === "stdinClosed") session.closeStdin();
  }
}
