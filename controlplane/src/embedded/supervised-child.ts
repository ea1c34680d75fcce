import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { copyFile, mkdir, open, readFile, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { TesseraError } from "@tessera/proto";
import type { Logger } from "pino";
import { identityOf, isAlive, type ProcessIdentity, parseIdentity } from "./process-identity.ts";

export interface SupervisedChildOptions {
  /** The program's name, also of its log file: "etcd". */
  readonly program: string;
  readonly debianPackage: string;
  /** Folder of the child's own; made if absent. Holds NAME.log and process.json. */
  readonly dir: string;
  readonly log: Logger;
  /** Called once per `start`, when no predecessor runs any more: chooses ports, writes files. Resolves to the arguments. */
  readonly configure: () => Promise<readonly string[]>;
  /** Throws while the child does not serve yet. */
  readonly probe: (signal: AbortSignal) => Promise<void>;
  readonly onStarted?: (pid: number) => void;
  /** Between TERM and KILL, default 5,000. */
  readonly stopTimeoutMs?: number;
}

const readyTimeoutMs = 30_000;
const maxLogBytes = 16 * 1024 * 1024;
const logCheckMs = 30_000;
/** A child that lived so long is started again at once. */
const healthyMs = 10_000;
const maxPauseMs = 5_000;
/** A release brings etcd and nats-server beside its Node.js. */
const searchPath = [dirname(process.execPath), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

type State =
  | { readonly is: "stopped" }
  /** Of a life without `process`, the child is down and about to be started again. */
  | { readonly is: "supervised"; readonly stop: AbortController; readonly life: Promise<void>; process?: ProcessIdentity };

/**
 * A server of our own as a child process: started, started again when it dies, stopped. It dies with us, by the kernel's parent death
 * signal; what a killed predecessor nevertheless left behind is recognised by pid, start time and boot, and ended first.
 */
export class SupervisedChild {
  readonly #options: SupervisedChildOptions;
  readonly #stopTimeoutMs: number;
  #state: State = { is: "stopped" };

  constructor(options: SupervisedChildOptions) {
    this.#options = options;
    this.#stopTimeoutMs = options.stopTimeoutMs ?? 5_000;
  }

  get pid(): number | undefined {
    return this.#state.is === "supervised" ? this.#state.process?.pid : undefined;
  }

  /** Resolves when the child serves. */
  async start(signal: AbortSignal): Promise<void> {
    if (this.#state.is !== "stopped") return;
    const { program, debianPackage } = this.#options;
    const [setpriv, path] = [findProgram("setpriv", "util-linux"), findProgram(program, debianPackage)];
    await mkdir(this.#options.dir, { recursive: true, mode: 0o700 });
    await this.#endPredecessor();
    const command = [setpriv, "--pdeathsig", "TERM", "--", path, ...(await this.#options.configure())];
    const stop = new AbortController();
    const first = Promise.withResolvers<void>();
    this.#state = { is: "supervised", stop, life: this.#supervise(command, stop.signal, first) };
    try {
      await Promise.race([first.promise, aborted(signal)]);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** To the present process, if there is one. */
  signal(name: NodeJS.Signals): void {
    if (this.pid !== undefined) process.kill(this.pid, name);
  }

  /** Resolves when the process is gone. */
  async close(how: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const state = this.#state;
    if (state.is === "stopped") return;
    state.stop.abort(how);
    await state.life;
    this.#state = { is: "stopped" };
    await rm(this.#identityFile, { force: true });
  }

  get #identityFile(): string {
    return join(this.#options.dir, "process.json");
  }

  get #logFile(): string {
    return join(this.#options.dir, `${this.#options.program}.log`);
  }

  async #supervise(command: readonly string[], stop: AbortSignal, first: PromiseWithResolvers<void>): Promise<void> {
    const { program, log } = this.#options;
    const logCheck = setInterval(() => void this.#boundLog(), logCheckMs).unref();
    let pauseMs = 0;
    let cameUp = false;
    while (!stop.aborted) {
      const startedAt = performance.now();
      try {
        const why = await this.#live(command, stop, () => {
          cameUp = true;
          first.resolve();
        });
        if (stop.aborted) break;
        log.error({ program, why, logFile: this.#logFile }, `${program} died, starting it again`);
      } catch (error) {
        if (stop.aborted) break;
        if (!cameUp) {
          first.reject(error);
          break;
        }
        log.error({ program, err: error }, `${program} cannot be started again yet`);
      }
      pauseMs = performance.now() - startedAt > healthyMs ? 0 : Math.min(Math.max(pauseMs * 2, 50), maxPauseMs);
      await delay(pauseMs, undefined, { signal: stop }).catch(() => {});
    }
    clearInterval(logCheck);
    // Nothing happens if it was resolved: only a `close` during `start` comes here otherwise.
    first.reject(new TesseraError("ServiceUnavailable", `${program} was stopped before it served`));
  }

  /** One life of the process, from its start to its end; returns what ended it. Throws when it did not come to serve. */
  async #live([program = "", ...args]: readonly string[], stop: AbortSignal, onReady: () => void): Promise<string> {
    await this.#boundLog();
    const logFd = await open(this.#logFile, "a", 0o600);
    let child: ChildProcess;
    try {
      child = spawn(program, args, {
        cwd: this.#options.dir,
        // A session of its own: Ctrl-C in our terminal is for us, and we end the child in order.
        detached: true,
        stdio: ["ignore", logFd.fd, logFd.fd],
        // Both servers take settings from the environment, which are not ours.
        env: { PATH: searchPath.join(":") },
      });
    } finally {
      await logFd.close();
    }
    const exit = exitOf(child);
    const lifetime = new AbortController();
    const terminate = (): void => void this.#terminate(child, stop.reason === "SIGKILL" ? "SIGKILL" : "SIGTERM", exit);
    stop.addEventListener("abort", terminate, { once: true });
    if (stop.aborted) terminate();
    try {
      await this.#remember(child.pid);
      void exit.then(() => lifetime.abort());
      await this.#waitReady(AbortSignal.any([lifetime.signal, stop]), exit);
      if (!stop.aborted && child.pid !== undefined) {
        onReady();
        this.#options.onStarted?.(child.pid);
      }
      return await exit;
    } catch (error) {
      if (!stop.aborted) await this.#terminate(child, "SIGTERM", exit);
      await exit;
      throw error;
    } finally {
      stop.removeEventListener("abort", terminate);
      if (this.#state.is === "supervised") delete this.#state.process;
    }
  }

  async #remember(pid: number | undefined): Promise<void> {
    const process = pid === undefined ? undefined : identityOf(pid);
    if (process === undefined) return;
    if (this.#state.is === "supervised") this.#state.process = process;
    await writeFile(`${this.#identityFile}.new`, JSON.stringify(process));
    await rename(`${this.#identityFile}.new`, this.#identityFile);
  }

  async #waitReady(signal: AbortSignal, exit: Promise<string>): Promise<void> {
    const { program, probe } = this.#options;
    const deadline = Date.now() + readyTimeoutMs;
    let fault: unknown;
    // A client whose server dies in the middle of its greeting may never say so.
    const ended = aborted(signal);
    ended.catch(() => undefined);
    while (!signal.aborted && Date.now() < deadline) {
      try {
        return await Promise.race([probe(signal), ended]);
      } catch (error) {
        fault = error;
        // Not an event that one could wait for: the server tells nobody that it listens.
        await delay(20, undefined, { signal }).catch(() => {});
      }
    }
    const why = signal.aborted ? await exit : `it did not serve within ${readyTimeoutMs / 1000} s`;
    const lines = (await this.#lastLogLines()).join("\n");
    throw new TesseraError("ServiceUnavailable", `${program} does not come up: ${why}; the end of ${this.#logFile}:\n${lines}`, {
      cause: fault,
    });
  }

  async #terminate(child: ChildProcess, how: "SIGTERM" | "SIGKILL", exit: Promise<string>): Promise<void> {
    child.kill(how);
    const killer = setTimeout(() => child.kill("SIGKILL"), this.#stopTimeoutMs);
    await exit;
    clearTimeout(killer);
  }

  async #endPredecessor(): Promise<void> {
    const text = await readFile(this.#identityFile, "utf8").catch(() => "");
    const predecessor = parseIdentity(text);
    if (predecessor === undefined) return;
    const { program, log } = this.#options;
    const deadline = Date.now() + this.#stopTimeoutMs;
    for (let told = ""; isAlive(predecessor); await delay(10)) {
      const how = Date.now() < deadline ? "SIGTERM" : "SIGKILL";
      if (told === how) continue;
      told = how;
      log.warn({ program, pid: predecessor.pid, signal: how }, `ending the ${program} of a predecessor`);
      try {
        process.kill(predecessor.pid, how);
      } catch {
        // Gone between the look and the signal.
      }
    }
  }

  /** The child keeps the file open for appending, so it is emptied in place. */
  async #boundLog(): Promise<void> {
    try {
      if ((await stat(this.#logFile)).size <= maxLogBytes) return;
      await copyFile(this.#logFile, `${this.#logFile}.1`);
      await truncate(this.#logFile);
    } catch (error) {
      // Absent before the first start. A full disk is told by the servers themselves.
      this.#options.log.debug({ err: error }, "log file not bounded");
    }
  }

  async #lastLogLines(): Promise<string[]> {
    const text = await readFile(this.#logFile, "utf8").catch(() => "");
    return text.trimEnd().split("\n").slice(-10);
  }
}

function findProgram(name: string, debianPackage: string): string {
  for (const folder of searchPath) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not there: the next folder.
    }
  }
  throw new TesseraError(
    "ServiceUnavailable",
    `${name} is not installed (looked in ${searchPath.join(", ")}): install the Debian package "${debianPackage}"`,
  );
}

/** What ended the process; never rejects. */
function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve(signal === null ? `exit code ${code}` : signal));
    child.once("error", (error) => resolve(`could not be executed: ${error.message}`));
  });
}

async function aborted(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, "abort");
  throw signal.reason;
}
