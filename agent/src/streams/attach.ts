import { isCancellation, TesseraError } from "@tessera/proto";
import type { AttachRequest } from "@tessera/proto/node";
import { type ExecSession, type Runtime, RuntimeError } from "@tessera/runtime-native";
import type { Clock } from "../clock.ts";
import { LastAnswer } from "./last-answer.ts";
import type { StreamPeer } from "./stream-peer.ts";

export interface AttachTarget {
  readonly sandbox: string;
  readonly container: string;
  /** What the container was made with. */
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  readonly isEphemeral: boolean;
}

type AttachPeer = Pick<StreamPeer, "signal" | "frames" | "send" | "exit">;

/** What becomes of the container's stdin when a client says that its own has ended. */
type StdinEnd = "ends" | "stays" | "none";

/**
 * Connects the stream with a container's own first process. Whoever leaves leaves the container running, but takes its stdin along if that is
 * for one session only. Ends well when the container ends: its exit code is in the pod's status, where clients look for it.
 *
 * As in Kubernetes, stdin for a container that was made without one goes nowhere: `kubectl attach -it` shows its output all the same. When the
 * client's stdin ends and the container's stays open the session is over, but not before the container has answered: Kubernetes' runtimes let the
 * answer go. The stdin of an ephemeral container ends with that of the client, for one who debugs by a script wants to see its end and what it printed;
 * there, too, a client that merely leaves leaves it open.
 */
export async function serveAttach(
  { runtime, clock }: { readonly runtime: Pick<Runtime, "attach">; readonly clock: Clock },
  target: AttachTarget,
  request: AttachRequest,
  peer: AttachPeer,
): Promise<void> {
  // The end of a terminal's input would not be seen by the process: it only stays without a reader.
  const mayEnd = target.stdin && !target.tty;
  const atEnd: StdinEnd = !request.stdin || !target.stdin ? "none" : mayEnd && (target.stdinOnce || target.isEphemeral) ? "ends" : "stays";
  const answer = new LastAnswer(clock);
  let isOver = false;
  const output = (kind: "stdout" | "stderr") => (chunk: Uint8Array) => {
    answer.heard();
    return request[kind] && !isOver ? peer.send(kind, chunk) : undefined;
  };
  // Who has come to feed a container that was made for it gets to see it from its start, and a terminal with its prompt.
  const earlyOutput = request.stdin && target.stdin && (target.stdinOnce || target.isEphemeral);
  const options = { endsStdin: request.stdin && mayEnd && target.stdinOnce, earlyOutput };
  const outputs = { stdout: output("stdout"), stderr: output("stderr") };
  const session = await runtime.attach(target.sandbox, target.container, outputs, peer.signal, options);
  try {
    await Promise.race([session.exited, feed(session, peer, atEnd, answer)]);
  } catch (error) {
    if (isCancellation(error) || peer.signal.aborted || !(error instanceof RuntimeError)) throw error;
    throw new TesseraError("ServiceUnavailable", `attach: ${error.message}`, { cause: error });
  } finally {
    isOver = true;
    answer.stop();
    session.kill();
  }
  await peer.exit({});
}

/** Resolves when the client is gone, or has the answer to the last of its stdin from a container that keeps its own. */
async function feed(session: ExecSession, peer: AttachPeer, atEnd: StdinEnd, answer: LastAnswer): Promise<void> {
  const reading = (async () => {
    for await (const frame of peer.frames()) {
      if (frame.$case === "resize") session.resize(frame.value.columns, frame.value.rows);
      else if (atEnd === "none") continue;
      else if (frame.$case === "stdin") await session.write(frame.value);
      else if (frame.$case === "stdinClosed" && atEnd === "stays") answer.begin();
      else if (frame.$case === "stdinClosed") session.closeStdin();
    }
  })();
  await Promise.race([reading, answer.over]);
}
