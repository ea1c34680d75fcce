import { setTimeout as delay } from "node:timers/promises";
import { TesseraError } from "@tessera/proto";
import type { ExecRequest, StreamFrame } from "@tessera/proto/node";
import { type ExecSession, type ProcessSpec, type Runtime, RuntimeError } from "@tessera/runtime-native";
import type { StreamPeer } from "./stream-peer.ts";

export interface ExecTarget {
  readonly sandbox: string;
  readonly container: string;
  /** The container's own first process; the command takes its place. */
  readonly process: ProcessSpec;
}

type Frame = NonNullable<StreamFrame["frame"]>;

const SIZE_IS_SAID_WITHIN_MS = 300;

/** What a shell says of a command that it cannot run. */
const EXIT_CODES = { CommandNotFound: 127, CommandNotExecutable: 126 } as const;

/** Runs a command in a container, with its input and output on the stream, and ends the stream with its exit code. */
export async function serveExec(runtime: Pick<Runtime, "exec">, target: ExecTarget, request: ExecRequest, peer: StreamPeer): Promise<void> {
  if (request.command.length === 0) throw new TesseraError("BadRequest", "exec: no command");
  const frames = peer.frames();
  const first = frames.next();
  const terminalSize = request.tty ? await sizeSaidFirst(first) : undefined;
  const process: ProcessSpec = {
    ...target.process,
    argv: request.command,
    env: request.tty ? withTerminal(target.process.env) : target.process.env,
    terminal: request.tty,
    ...(terminalSize && { terminalSize }),
  };
  const output = {
    stdout: (chunk: Uint8Array) => (request.stdout ? send(peer, "stdout", chunk) : undefined),
    stderr: (chunk: Uint8Array) => (request.stderr ? send(peer, "stderr", chunk) : undefined),
  };
  let session: ExecSession;
  try {
    session = await runtime.exec(target.sandbox, target.container, process, request.stdin, output, peer.signal);
  } catch (error) {
    if (!(error instanceof RuntimeError) || !(error.reason in EXIT_CODES)) throw error;
    await peer.send("stderr", Buffer.from(`${error.message}\n`));
    await peer.exit({ code: EXIT_CODES[error.reason as keyof typeof EXIT_CODES] });
    return;
  }
  const kill = () => session.kill();
  peer.signal.addEventListener("abort", kill, { once: true });
  if (peer.signal.aborted) kill();
  // Runs beside the process and ends with the stream; a lost stream kills the process through the signal.
  void feed(session, first, frames, request.stdin).catch(() => undefined);
  const { exitCode } = await session.exited;
  peer.signal.removeEventListener("abort", kill);
  await peer.exit({ code: exitCode });
}

/** Output for a reader that is gone is dropped: its process is being killed. */
async function send(peer: StreamPeer, kind: "stdout" | "stderr", chunk: Uint8Array): Promise<void> {
  if (!peer.signal.aborted) await peer.send(kind, chunk).catch(() => undefined);
}

/**
 * A client with a terminal says its size before anything else, so that the command never sees another one; a client
 * that says nothing is not waited for long.
 */
async function sizeSaidFirst(first: Promise<IteratorResult<Frame>>): Promise<{ columns: number; rows: number } | undefined> {
  const said = new AbortController();
  const silence = delay(SIZE_IS_SAID_WITHIN_MS, undefined, { signal: said.signal }).catch(() => undefined);
  const result = await Promise.race([first, silence]);
  said.abort();
  return result && !result.done && result.value.$case === "resize" ? result.value.value : undefined;
}

async function feed(
  session: ExecSession,
  first: Promise<IteratorResult<Frame>>,
  rest: AsyncIterator<Frame>,
  stdin: boolean,
): Promise<void> {
  for (let next = await first; !next.done; next = await rest.next()) {
    const frame = next.value;
    if (frame.$case === "resize") session.resize(frame.value.columns, frame.value.rows);
    else if (!stdin) continue;
    else if (frame.$case === "stdin") await session.write(frame.value);
    else if (frame.$case === "stdinClosed") session.closeStdin();
  }
  if (stdin) session.closeStdin();
}

function withTerminal(env: readonly string[]): readonly string[] {
  return env.some((variable) => variable.startsWith("TERM=")) ? env : [...env, "TERM=xterm"];
}
