import assert from "node:assert/strict";
import { type ChildProcess, execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { NetworkNode } from "./network-node.ts";
import { TestNetns } from "./node-process.ts";
import { patienceMs } from "./patience.ts";
import { startProgram } from "./program.ts";

const run = promisify(execFile);
const packageRoot = fileURLToPath(new URL("../..", import.meta.url));

/** Two nodes, the outside between them, and programs of the test in their network namespaces. */
export class TwoNodes {
  readonly outside: TestNetns;
  readonly a: NetworkNode;
  readonly b: NetworkNode;
  readonly #folder: string;
  readonly #programs: ChildProcess[] = [];

  private constructor(prefix: string, folder: string) {
    this.#folder = folder;
    this.outside = new TestNetns(`${prefix}o-${process.pid}`);
    this.a = new NetworkNode(`${prefix}a-${process.pid}`, 1, folder);
    this.b = new NetworkNode(`${prefix}b-${process.pid}`, 2, folder);
  }

  /** The address of the outside on the wire. */
  static readonly outsideAddress = "172.31.77.254";

  /** Builds the programs of these tests. */
  static async build(): Promise<void> {
    await run("make", ["-s", "-C", packageRoot, "probes"]);
  }

  /** `prefix` begins the names of its network namespaces: "tst-p". */
  static async make(prefix: string): Promise<TwoNodes> {
    const nodes = new TwoNodes(prefix, await mkdtemp(join(tmpdir(), "tessera-two-nodes-")));
    const { outside } = nodes;
    await outside.make();
    await outside.ip("link", "add", "wires", "type", "bridge");
    await outside.ip("address", "add", `${TwoNodes.outsideAddress}/24`, "dev", "wires");
    await outside.ip("link", "set", "wires", "up");
    for (const node of [nodes.a, nodes.b]) await node.make(outside);
    return nodes;
  }

  /** Makes a cluster of them. */
  async join(): Promise<void> {
    await Promise.all([this.a, this.b].map((node) => node.agent.call("ensureNode", node.spec)));
    await this.a.agent.call("setPeers", [this.b.peer]);
    await this.b.agent.call("setPeers", [this.a.peer]);
  }

  /** Runs in a network namespace until the test is over; resolves once it has said that it is ready. */
  async serve(netns: string, ...command: readonly string[]): Promise<ChildProcess> {
    const program = await startProgram("nsenter", [`--net=${netns}`, ...command]);
    this.endLater(program);
    return program;
  }

  /** Kills it when the test is over. */
  endLater(program: ChildProcess): void {
    this.#programs.push(program);
  }

  /**
   * Talks to the probe "tcp" that serves there. Returns the address that it sees; the transfer of 300 kB after it goes wrong when packets are larger
   * than the way.
   */
  async askTcp(netns: string, address: string, port: number, patience = patienceMs): Promise<string> {
    const { stdout } = await run("nsenter", [`--net=${netns}`, TwoNodes.probe("tcp"), "ask", address, String(port), String(patience)]);
    const [client, count] = stdout.trim().split(" ");
    assert.equal(count, "300000");
    return client ?? "";
  }

  /** The path of a program that was built for tests: "tcp". */
  static probe(name: string): string {
    return join(packageRoot, "build/probe", name);
  }

  async remove(): Promise<void> {
    for (const program of this.#programs) program.kill("SIGKILL");
    await this.a.remove();
    await this.b.remove();
    await this.outside.remove();
    await rm(this.#folder, { recursive: true });
  }
}
