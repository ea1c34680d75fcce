import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import type { NativeNodeNetwork } from "../native-node-network.ts";
import { programPath } from "./program.ts";

const run = promisify(execFile);

/** A network namespace of a test, by the name that `ip netns` knows. */
export class TestNetns {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  async make(): Promise<void> {
    await run("ip", ["netns", "add", this.name]);
    await this.ip("link", "set", "lo", "up");
  }

  get path(): string {
    return `/run/netns/${this.name}`;
  }

  async ip(...args: string[]): Promise<string> {
    return (await run("ip", ["-n", this.name, ...args])).stdout;
  }

  async run(command: string, ...args: string[]): Promise<string> {
    return (await run("nsenter", [`--net=${this.path}`, command, ...args])).stdout;
  }

  async remove(): Promise<void> {
    await run("ip", ["netns", "del", this.name]);
  }
}

/** What the network of a node may be asked from another process: its methods, each with its result or its error. */
type Methods = Pick<
  NativeNodeNetwork,
  | "ensureNode"
  | "setPeers"
  | "createPodNetns"
  | "releaseNetns"
  | "listPodLinks"
  | "openHostPorts"
  | "closeHostPorts"
  | "listHostPorts"
  | "removeNode"
  | "close"
>;

/** A `NativeNodeNetwork` in a process of its own that lives in the given network namespace. */
export class NodeProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: { value?: unknown; error?: object }) => void>();
  #calls = 0;

  constructor(settings: { netns: string; nativeDir: string; runDir: string; poolSize: number }) {
    const script = programPath("network-process");
    this.#child = spawn(
      "nsenter",
      [`--net=${settings.netns}`, process.execPath, script, settings.nativeDir, settings.runDir, String(settings.poolSize)],
      { stdio: ["ignore", "inherit", "inherit", "ipc"] },
    );
    this.#child.on("message", (answer: { id: number; value?: unknown; error?: object }) => {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    this.#child.on("exit", (code, signal) => {
      const error = { message: `the node's process ended with ${signal ?? `exit code ${code}`} before it answered` };
      for (const answer of this.#waiting.values()) answer({ error });
      this.#waiting.clear();
    });
  }

  get pid(): number {
    assert.ok(this.#child.pid !== undefined, "the node's process did not start");
    return this.#child.pid;
  }

  /** Rejects with an error that has the RuntimeError's fields. */
  call<Method extends keyof Methods>(method: Method, ...args: Parameters<Methods[Method]>): Promise<Awaited<ReturnType<Methods[Method]>>> {
    const id = ++this.#calls;
    this.#child.send({ id, method, args });
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (answer) => {
        if (answer.error) reject(Object.assign(new Error(), answer.error));
        else resolve(answer.value as Awaited<ReturnType<Methods[Method]>>);
      });
    });
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill(signal);
    await ended;
  }
}
