import { fileURLToPath } from "node:url";
import { systemClock } from "./clock.ts";
import { streamOutput } from "./output.ts";
import { runProgram } from "./program.ts";
import { readSettings } from "./settings.ts";

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    // Whoever presses Ctrl-C twice does not want to wait for an orderly end.
    if (interrupted.signal.aborted) process.exit(130);
    interrupted.abort();
  });
}
// `tsctl get pods | head -1`: the reader has enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 141 : 1));

const code = await runProgram(process.argv.slice(2), {
  out: streamOutput(process.stdout),
  err: streamOutput(process.stderr),
  input: process.stdin,
  terminal: process.stdout.isTTY ? process.stdout : undefined,
  clock: systemClock,
  settings: readSettings(process.env, fileURLToPath(import.meta.url)),
  signal: interrupted.signal,
});
// Whatever still waits for something must not keep the program; what was written must leave first.
process.stdout.write("", () => process.exit(code));
