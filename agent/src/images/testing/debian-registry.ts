import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { BuiltImage } from "./image-content.ts";

export interface RegistryOptions {
  /** Folder of its own. */
  readonly folder: string;
  /** Folder of the images; registries may share one. */
  readonly storage: string;
  readonly tls?: { readonly certificate: string; readonly key: string };
  /** Lines of an auth section, indented by two. */
  readonly auth?: string;
}

/** Debian's docker-registry on a free port of loopback. */
export class DebianRegistry {
  /** "127.0.0.1:40123" */
  readonly host: string;
  readonly #process: ChildProcess;

  private constructor(host: string, process: ChildProcess) {
    this.host = host;
    this.#process = process;
  }

  static async start({ folder, storage, tls, auth }: RegistryOptions): Promise<DebianRegistry> {
    mkdirSync(folder, { recursive: true });
    const config = join(folder, "config.yml");
    const lines = [
      "version: 0.1",
      "log:",
      "  level: info",
      "storage:",
      "  filesystem:",
      `    rootdirectory: ${storage}`,
      "http:",
      "  addr: 127.0.0.1:0",
      "  secret: only-for-this-test",
      ...(tls ? ["  tls:", `    certificate: ${tls.certificate}`, `    key: ${tls.key}`] : []),
      ...(auth === undefined ? [] : ["auth:", auth]),
    ];
    writeFileSync(config, `${lines.join("\n")}\n`);
    const child = spawn("docker-registry", ["serve", config], { stdio: ["ignore", "ignore", "pipe"] });
    const said: string[] = [];
    for await (const line of createInterface({ input: child.stderr })) {
      said.push(line);
      const host = /listening on (127\.0\.0\.1:[0-9]+)/.exec(line)?.[1];
      if (host === undefined) continue;
      child.stderr.resume();
      return new DebianRegistry(host, child);
    }
    throw new Error(`docker-registry ended: ${said.join("\n")}`);
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await ended;
  }

  /** Pushes over plain HTTP without credentials, so to a registry that asks for neither. */
  async push(path: string, tag: string, image: BuiltImage): Promise<void> {
    for (const { digest, bytes } of image.blobs) {
      const begun = await this.#send("POST", `/v2/${path}/blobs/uploads/`, "", Buffer.alloc(0), 202);
      const location = new URL(begun, `http://${this.host}`);
      location.searchParams.set("digest", digest);
      await this.#send("PUT", `${location.pathname}${location.search}`, "application/octet-stream", bytes, 201);
    }
    await this.pushManifest(path, tag, image.manifest);
  }

  async pushManifest(path: string, tag: string, { bytes, mediaType }: BuiltImage["manifest"]): Promise<void> {
    await this.#send("PUT", `/v2/${path}/manifests/${tag}`, mediaType, bytes, 201);
  }

  async #send(method: string, path: string, type: string, body: Buffer, wanted: number): Promise<string> {
    const [host, port] = this.host.split(":");
    const sending = request({ host, port, method, path, headers: { "content-type": type, "content-length": body.length } });
    sending.end(body);
    const [response] = await once(sending, "response");
    response.resume();
    await once(response, "end");
    if (response.statusCode !== wanted) throw new Error(`${method} ${path}: ${response.statusCode}`);
    return response.headers.location ?? "";
  }
}
