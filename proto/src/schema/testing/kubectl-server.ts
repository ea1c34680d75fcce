import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly type: string | undefined;
  readonly body: Buffer;
}

/** What a server answers to a call: a status and a JSON value. */
export type Routes = (call: Call) => readonly [status: number, body: unknown];

/** A server that keeps every call, and the real kubectl to call it. */
export class KubectlServer {
  readonly calls: Call[] = [];
  readonly folder: string;
  readonly #routes: Routes;
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  private constructor(folder: string, routes: Routes) {
    this.folder = folder;
    this.#routes = routes;
  }

  static async start(routes: Routes): Promise<KubectlServer> {
    const server = new KubectlServer(await mkdtemp(join(tmpdir(), "kubectl-test-")), routes);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.folder, { recursive: true });
  }

  /** Runs kubectl with nothing of the user's configuration; returns its standard output, and throws if it fails. */
  async kubectl(...args: string[]): Promise<string> {
    const { port } = this.#server.address() as AddressInfo;
    const { stdout } = await promisify(execFile)(
      "kubectl",
      ["--server", `http://127.0.0.1:${port}`, "--cache-dir", join(this.folder, "cache"), ...args],
      {
        env: { PATH: process.env["PATH"], HOME: this.folder, KUBECONFIG: join(this.folder, "none") },
        timeout: 20_000,
      },
    );
    return stdout;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) {
      chunks.push(chunk as Buffer);
    }
    const { pathname: path } = new URL(request.url ?? "", "http://localhost");
    const call = { method: request.method ?? "", path, type: request.headers["content-type"], body: Buffer.concat(chunks) };
    this.calls.push(call);
    const [status, body] = this.#routes(call);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  }
}

export const notFound = [404, { kind: "Status", apiVersion: "v1", status: "Failure", reason: "NotFound", code: 404 }] as const;
