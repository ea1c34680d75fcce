import { spawn } from "node:child_process";
import { TesseraError } from "@tessera/proto";
import { heldLocks } from "./lock.ts";

export interface CommandOptions {
  /** Written to the program's stdin. */
  readonly input?: string;
  readonly signal?: AbortSignal;
  readonly cwd?: string;
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program of the machine to its end and returns how it ended. Throws only when it could not be run at all. It outlives this process when
 * that is killed, and so holds the locks under which it was started until it has done what it does.
 */
export async function runCommand(argv: readonly [string, ...string[]], options: CommandOptions = {}): Promise<CommandResult> {
  const [program, ...args] = argv;
  return await new Promise<CommandResult>((resolve, reject) => {
    const child = spawn(program, args, { signal: options.signal, cwd: options.cwd, stdio: ["pipe", "pipe", "pipe", ...heldLocks()] });
    let stdout = "";
    let stderr = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", (cause) => {
      if (options.signal?.aborted === true) reject(cause);
      else reject(new TesseraError("InternalError", `cannot run ${program}: ${cause.message}`, { cause }));
    });
    child.on("close", (code, killedBy) =>
      resolve({ code: code ?? 128, stdout, stderr: killedBy ? `${stderr}ended by ${killedBy}` : stderr }),
    );
    // A program that ends without reading its input is judged by its exit code.
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input ?? "");
  });
}

/** Runs a program that must succeed; returns its stdout. */
export async function mustRun(argv: readonly [string, ...string[]], options: CommandOptions = {}): Promise<string> {
  const result = await runCommand(argv, options);
  if (result.code === 0) return result.stdout;
  const said = result.stderr.trim() || result.stdout.trim() || `exit code ${result.code}`;
  throw new TesseraError("InternalError", `${argv.join(" ")}: ${said}`);
}
