import { type ProcessSpec, type Runtime, RuntimeError } from "@tessera/runtime-native";
import { LONGEST_ANSWER_BYTES } from "./probe-result.ts";

export interface CommandTarget {
  readonly sandbox: string;
  /** The runtime's name of the container's attempt. */
  readonly container: string;
  /** The container's own first process; the command takes its place. */
  readonly process: ProcessSpec;
}

export interface CommandResult {
  readonly exitCode: number;
  /** The beginning of what it wrote, stdout and stderr as they came. */
  readonly output: string;
}

/** What a shell says of a command that it cannot run. */
const EXIT_CODES: Readonly<Partial<Record<string, number>>> = { CommandNotFound: 127, CommandNotExecutable: 126 };

/** Runs a command in a container to its end. When the signal is aborted the command is killed, and the signal's reason thrown. */
export async function runCommand(
  runtime: Pick<Runtime, "exec">,
  { sandbox, container, process }: CommandTarget,
  command: readonly string[],
  signal: AbortSignal,
): Promise<CommandResult> {
  const output = new BoundedOutput();
  const aborted = Promise.withResolvers<never>();
  const fail = () => aborted.reject(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener("abort", fail, { once: true });
  try {
    const spec: ProcessSpec = { ...process, argv: command, terminal: false };
    const session = runtime.exec(sandbox, container, spec, false, output, signal).then(async (running) => {
      const kill = () => running.kill();
      signal.addEventListener("abort", kill, { once: true });
      if (signal.aborted) kill();
      return await running.exited.finally(() => signal.removeEventListener("abort", kill));
    });
    // Whichever loses has nothing more to say.
    session.catch(() => undefined);
    const { exitCode } = await Promise.race([session, aborted.promise]);
    return { exitCode, output: output.text() };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const exitCode = error instanceof RuntimeError ? EXIT_CODES[error.reason] : undefined;
    if (exitCode === undefined) throw error;
    return { exitCode, output: (error as RuntimeError).message };
  } finally {
    signal.removeEventListener("abort", fail);
    aborted.promise.catch(() => undefined);
  }
}

/** Keeps the beginning, drops the rest. */
class BoundedOutput {
  readonly #chunks: Uint8Array[] = [];
  #room = LONGEST_ANSWER_BYTES;

  stdout(chunk: Uint8Array): void {
    if (this.#room <= 0) return;
    // The runtime may use the memory again.
    this.#chunks.push(Buffer.from(chunk.subarray(0, this.#room)));
    this.#room -= chunk.length;
  }

  stderr(chunk: Uint8Array): void {
    this.stdout(chunk);
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString();
  }
}
