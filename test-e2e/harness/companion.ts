import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { until } from "./cluster.ts";

/** A program that runs beside a test, which talks with it, until the end of the scope. */
export class Companion implements AsyncDisposable {
  readonly #what: string;
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #stdout = "";
  #stderr = "";

  constructor(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#what = [program, ...args].join(" ");
    const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"] });
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (this.#stdout += text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.#stderr += text));
    // It may have ended when something is said to it; that it has is told by whoever waits for its answer.
    child.stdin?.on("error", () => {});
    child.on("error", (error) => (this.#stderr += error.message));
    this.#child = child;
    this.#closed = once(child, "close").catch(() => {});
  }

  /** All that it has written to stdout. */
  get stdout(): string {
    return this.#stdout;
  }

  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Waits until its stdout satisfies the check. Throws when it ends before. */
  async hears(what: string, check: (stdout: string) => boolean, timeoutMs?: number): Promise<void> {
    const end = await until(
      `${what}, of ${this.#what}`,
      async () => (check(this.#stdout) ? "heard" : this.#hasEnded ? "ended" : undefined),
      timeoutMs,
    );
    if (end === "ended")
      throw new Error(`${this.#what} ended before ${what}\nstdout: ${this.#stdout.slice(-500)}\nstderr: ${this.#stderr}`);
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.pid === undefined) return;
    this.#child.kill("SIGKILL");
    await this.#closed;
  }
}
