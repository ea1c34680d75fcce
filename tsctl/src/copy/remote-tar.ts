import { PassThrough } from "node:stream";
import { TesseraError } from "@tessera/proto";
import type { ClusterContext } from "../command.ts";
import { remoteProtocols, runRemote } from "../remote/remote-command.ts";

export interface RemoteContainer {
  readonly cluster: ClusterContext;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly signal: AbortSignal;
}

export interface RemoteOutcome {
  readonly exitCode: number;
  /** What the command said on stderr. */
  readonly said: string;
}

/** As much as an error message may show of a command's last words. */
const LONGEST_WORDS = 4096;

/** Runs a command in the container, feeds it `input` and lets `consume` have its output. A fault of either ends the command. */
export async function runInContainer(
  { cluster, namespace, pod, container, signal }: RemoteContainer,
  command: readonly string[],
  streams: {
    readonly input?: AsyncIterable<Uint8Array>;
    readonly consume?: (output: AsyncIterable<Uint8Array>) => Promise<void>;
  } = {},
): Promise<RemoteOutcome> {
  const { input, consume = discard } = streams;
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}/exec`;
  const query = new URLSearchParams({ container, stdout: "true", stderr: "true", stdin: String(input !== undefined) });
  for (const word of command) query.append("command", word);
  const socket = await cluster.api.websocket(path, query.toString(), remoteProtocols, signal);
  const output = new PassThrough();
  let fault: { readonly error: unknown } | undefined;
  const give = (error: unknown) => {
    // What comes of it further on, as that the connection is gone, is not what went wrong.
    fault ??= { error };
    output.destroy();
    socket.terminate();
  };
  let said = "";
  const consumed = consume(output).catch(give);
  try {
    const exitCode = await runRemote(socket, {
      ...(input !== undefined && { stdin: watched(input, give) }),
      stdout: async (data) => {
        // Called when the piece has been taken, or when nobody takes any more.
        await new Promise<void>((resolve) => output.write(data, () => resolve()));
      },
      stderr: async (data) => {
        if (said.length < LONGEST_WORDS) said += Buffer.from(data).toString("utf8");
      },
    });
    output.end();
    await consumed;
    if (fault !== undefined) throw fault.error;
    return { exitCode, said: said.trim() };
  } catch (error) {
    output.destroy();
    await consumed;
    throw fault === undefined ? error : fault.error;
  }
}

/** Throws what tar said when it did not end well. */
export function expectSuccess({ exitCode, said }: RemoteOutcome, what: string): void {
  if (exitCode === 0) return;
  throw new TesseraError("InternalError", `${what}: tar ended with ${exitCode} in the container${said === "" ? "" : `: ${said}`}`);
}

async function* watched(input: AsyncIterable<Uint8Array>, onFault: (error: unknown) => void): AsyncGenerator<Uint8Array> {
  try {
    yield* input;
  } catch (error) {
    onFault(error);
    throw error;
  }
}

async function discard(output: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of output);
}
