import { spawn } from "node:child_process";

export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Hears of what comes on stdout while the program runs. */
  readonly onStdout?: (text: string) => void;
}

/** Runs a program to its end; a non-zero exit is a result, not an error. Killed, with an error that shows its output, after `timeoutMs`. */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Output> {
  const { input, timeoutMs = 60_000, env = {} } = options;
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"] });
  if (input !== undefined) child.stdin?.end(input);
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    options.onStdout?.(text);
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (status, signal) => resolve(status ?? (signal === null ? 0 : 255)));
    });
    if (timedOut) throw new Error(`${program} ${args.join(" ")} did not end in ${timeoutMs} ms\nstdout: ${stdout}\nstderr: ${stderr}`);
    return { code, stdout, stderr };
  } finally {
    clearTimeout(timer);
  }
}

/** As `run`, but a non-zero exit is an error that shows the output. Returns stdout. */
export async function runOk(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const output = await run(program, args, options);
  if (output.code !== 0)
    throw new Error(`${program} ${args.join(" ")} exited with ${output.code}\nstdout: ${output.stdout}\nstderr: ${output.stderr}`);
  return output.stdout;
}
