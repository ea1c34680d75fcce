/** Programs that tests start: they are waited for with an end, and tell why they died. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { extname, join } from "node:path";
import { patienceMs } from "./patience.ts";

/** The path of a program in this folder, by its name without ending. As a bundle it lies beside the bundled test, and ends as that does. */
export function programPath(name: string): string {
  return join(import.meta.dirname, name + extname(import.meta.filename));
}

export interface StartedProgram extends ChildProcess {
  /** What it has written to stdout first. */
  readonly greeting: string;
}

/** Starts a program and waits until it writes something. Rejects with what it said on stderr when it ends, or says nothing for a minute. */
export async function startProgram(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string } = {},
): Promise<StartedProgram> {
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const written = once(child.stdout, "data").then(([data]) => String(data));
  // An exit may be seen before what was written; "close" comes after both streams' ends.
  const ended = once(child, "close").then(() => undefined);
  const timer = setTimeout(() => child.kill("SIGKILL"), patienceMs);
  try {
    const greeting = await Promise.race([written, ended]);
    if (greeting !== undefined) return Object.assign(child, { greeting });
  } finally {
    clearTimeout(timer);
  }
  const how = child.signalCode ?? `exit code ${child.exitCode}`;
  throw new Error(`${command} ${args.join(" ")} ended with ${how} before it wrote anything: ${errors || "(nothing on stderr)"}`);
}
