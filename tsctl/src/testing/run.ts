import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import type { Connection, ConnectOptions } from "../api/connect.ts";
import { HttpsApi } from "../api/https-api.ts";
import { MemoryOutput } from "../output.ts";
import { runProgram } from "../program.ts";

export const now = Date.parse("2026-11-21T12:00:00Z");

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly server?: { readonly url: string };
  /** Find the server through a real kubeconfig. Otherwise it is named directly, which spares loading the library. */
  readonly useKubeconfig?: boolean;
  /** What stdin holds. */
  readonly input?: string;
  readonly signal?: AbortSignal;
  /** A shell command that gets the file to edit. */
  readonly editor?: string;
}

/** Runs one command line in this process, as main.ts would, and returns what it printed. */
export async function runTsctl(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const out = new MemoryOutput();
  const err = new MemoryOutput();
  const input = new PassThrough();
  if (options.input !== undefined) input.end(options.input);
  const folder = await mkdtemp(join(tmpdir(), "tsctl-"));
  const kubeconfig = join(folder, "config");
  if (options.server !== undefined) await writeFile(kubeconfig, JSON.stringify(kubeconfigOf(options.server.url)));
  try {
    const code = await runProgram(argv, {
      out,
      err,
      input: input as unknown as NodeJS.ReadStream,
      terminal: undefined,
      clock: { now: () => now },
      settings: {
        kubeconfigs: [kubeconfig],
        devHome: join(folder, "dev"),
        dist: folder,
        node: process.execPath,
        version: "0.1.0",
        editor: options.editor ?? "false",
        diff: "diff -u -N",
      },
      signal: options.signal ?? new AbortController().signal,
      connect: options.server === undefined || options.useKubeconfig === true ? undefined : connectTo(options.server.url),
    });
    return { code, stdout: out.text, stderr: err.text };
  } finally {
    await rm(folder, { recursive: true });
  }
}

const connectTo =
  (server: string) =>
  async ({ onWarning }: ConnectOptions): Promise<Connection> => ({
    api: new HttpsApi({ access: { server, tls: {}, headers: {} }, onWarning }),
    namespace: "shop",
    context: "test",
  });

function kubeconfigOf(server: string) {
  return {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server } }],
    users: [{ name: "test", user: { token: "secret" } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test", namespace: "shop" } }],
    "current-context": "test",
  };
}
