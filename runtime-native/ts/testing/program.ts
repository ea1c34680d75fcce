/** Programs that tests start: they are waited for with an end, and tell why they died. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { extname, join } from "node:path";
import { patienceMs } from "./patience.ts";

/** The path of a program in this folder, by its name without ending. As a bundle it lies beside the bundled test, and ends as that does. */
export function programPath(name: string): string {
  return join(import.meta.dirname, name + extname(import.meta.filename));
}

/** Starts a program and waits until it writes something. Rejects with what it said on stderr when it ends, or says nothing for a minute. */
export async function startProgram(command: string, args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const written = once(child.stdout, "data").then(() => true);
  // An exit may be seen before what was written; "close" comes after both streams' ends.
  const ended = once(child, "close").then(() => false);
  const timer = setTimeout(() => child.kill("SIGKILL"), patienceMs);
  try {
    if (await Promise.race([written, ended])) return child;
  } finally {
    clearTimeout(timer);
  }
  const how = child.signalCode ?? `exit code ${child.exitCode}`;
  throw new Error(`${command} ${args.join(" ")} ended with ${how} before it wrote anything: ${errors || "(nothing on stderr)"}`);
}
