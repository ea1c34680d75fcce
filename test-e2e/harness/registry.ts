import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { clusterParts } from "./cluster.ts";
import { withImageFile } from "./image.ts";
import { runOk } from "./run.ts";

/** bcrypt of the password below. */
const htpasswd = "user:$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";

/** Debian's docker-registry on the loopback of one node, so that this node alone reaches it; with a login, until the end of the scope. */
export class NodeRegistry implements AsyncDisposable {
  static readonly username = "user";
  static readonly password = "hunter2";

  /** "127.0.0.1:40123", as the node sees it. */
  readonly host: string;
  readonly #folder: string;
  readonly #process: ChildProcess;
  readonly #enterNode: readonly string[];

  private constructor(host: string, folder: string, process: ChildProcess, enterNode: readonly string[]) {
    this.host = host;
    this.#folder = folder;
    this.#process = process;
    this.#enterNode = enterNode;
  }

  static async start(node: string): Promise<NodeRegistry> {
    const pid = (await clusterParts()).find(({ kind, name }) => kind === "node" && name === node)?.pid;
    if (pid === undefined) throw new Error(`the cluster has no node "${node}"`);
    const enterNode = ["--net", `--target=${pid}`, "--"];
    const folder = mkdtempSync(join(tmpdir(), "tessera-e2e-registry-"));
    writeFileSync(join(folder, "htpasswd"), htpasswd);
    const config = {
      version: 0.1,
      log: { level: "info" },
      storage: { filesystem: { rootdirectory: join(folder, "storage") } },
      http: { addr: "127.0.0.1:0", secret: "only-for-this-test" },
      auth: { htpasswd: { realm: "test", path: join(folder, "htpasswd") } },
    };
    // JSON is YAML.
    writeFileSync(join(folder, "config.yml"), JSON.stringify(config));
    const child = spawn("nsenter", [...enterNode, "docker-registry", "serve", join(folder, "config.yml")], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    const said: string[] = [];
    for await (const line of createInterface({ input: child.stderr })) {
      said.push(line);
      const host = /listening on (127\.0\.0\.1:[0-9]+)/.exec(line)?.[1];
      if (host === undefined) continue;
      child.stderr.resume();
      return new NodeRegistry(host, folder, child, enterNode);
    }
    rmSync(folder, { recursive: true });
    throw new Error(`docker-registry ended: ${said.join("\n")}`);
  }

  /** Pushes what is the example image but for a name in it, so that no node has it yet, with skopeo; returns the image's name and its digest. */
  async push(path: string): Promise<{ readonly name: string; readonly digest: string }> {
    const name = `${this.host}/${path}`;
    const digestFile = join(this.#folder, "digest");
    const copy = ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", `--digestfile=${digestFile}`];
    const login = `--dest-creds=${NodeRegistry.username}:${NodeRegistry.password}`;
    await withImageFile(
      name,
      { Labels: { name } },
      () => undefined,
      (file) => runOk("nsenter", [...this.#enterNode, ...copy, login, `oci-archive:${file}`, `docker://${name}`]),
    );
    return { name, digest: (await runOk("cat", [digestFile])).trim() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await ended;
    rmSync(this.#folder, { recursive: true });
  }
}
