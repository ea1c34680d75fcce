import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import type { Node, Pod } from "@tessera/proto";
import { isCancellation, TesseraError } from "@tessera/proto";
import type { AdminAccess } from "./kubeconfig.ts";

/** The little that bringing up a cluster has to ask its API. */
export class ClusterApi {
  readonly #server: string;
  readonly #agent: Agent;

  constructor(access: AdminAccess) {
    this.#server = access.server;
    const decode = (text: string) => Buffer.from(text, "base64");
    this.#agent = new Agent({
      keepAlive: true,
      ca: decode(access.certificateAuthority),
      cert: decode(access.clientCertificate),
      key: decode(access.clientKey),
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  async isReady(signal?: AbortSignal): Promise<boolean> {
    const response = await this.#get("/readyz", signal);
    response.resume();
    return response.statusCode === 200;
  }

  async listNodes(signal?: AbortSignal): Promise<{ readonly items: Node[]; readonly resourceVersion: string }> {
    return await this.#list<Node>("/api/v1/nodes", signal);
  }

  async listPods(signal?: AbortSignal): Promise<Pod[]> {
    return (await this.#list<Pod>("/api/v1/pods", signal)).items;
  }

  /** Yields each change of a node after `resourceVersion`, until the server ends the watch. */
  async *watchNodes(resourceVersion: string, signal?: AbortSignal): AsyncGenerator<Node> {
    const response = await this.#get(`/api/v1/nodes?watch=true&resourceVersion=${encodeURIComponent(resourceVersion)}`, signal);
    if (response.statusCode !== 200) throw await refusal(response);
    for await (const line of readLines(response, this.#server)) {
      const event: { type: string; object: Node } = JSON.parse(line);
      if (event.type === "ERROR") return;
      yield event.object;
    }
  }

  async #list<T>(path: string, signal?: AbortSignal): Promise<{ items: T[]; resourceVersion: string }> {
    const response = await this.#get(path, signal);
    if (response.statusCode !== 200) throw await refusal(response);
    const list = JSON.parse(await readText(response));
    return { items: list.items ?? [], resourceVersion: list.metadata?.resourceVersion ?? "" };
  }

  async #get(path: string, signal?: AbortSignal): Promise<IncomingMessage> {
    return await new Promise((resolve, reject) => {
      const sent = request(new URL(path, this.#server), { agent: this.#agent, signal, headers: { accept: "application/json" } }, resolve);
      sent.on("error", (cause) => {
        if (signal?.aborted === true) reject(cause);
        else
          reject(
            new TesseraError("ServiceUnavailable", `the control plane at ${this.#server} does not answer: ${cause.message}`, { cause }),
          );
      });
      sent.end();
    });
  }
}

function unavailable(server: string, cause: unknown): TesseraError {
  const said = cause instanceof Error ? cause.message : String(cause);
  return new TesseraError("ServiceUnavailable", `the control plane at ${server} does not answer: ${said}`, { cause });
}

async function* readLines(response: IncomingMessage, server: string): AsyncGenerator<string> {
  let rest = "";
  try {
    for await (const chunk of response.setEncoding("utf8")) {
      const lines = `${rest}${chunk}`.split("\n");
      rest = lines.pop() ?? "";
      yield* lines.filter(Boolean);
    }
  } catch (cause) {
    if (isCancellation(cause)) throw cause;
    throw unavailable(server, cause);
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  return text;
}

async function refusal(response: IncomingMessage): Promise<TesseraError> {
  const text = await readText(response);
  return new TesseraError("InternalError", `the control plane answered ${response.statusCode}: ${text.slice(0, 300)}`);
}
