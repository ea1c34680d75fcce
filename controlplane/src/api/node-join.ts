import { TesseraError } from "@tessera/proto";
import { AttemptLimiter } from "../join/attempt-limiter.ts";
import type { NodeJoin } from "../join/node-join.ts";
import { readBody } from "./body.ts";
import { type ApiRequest, type ApiResponse, jsonResponse } from "./http.ts";

/** Where machines ask to become nodes. It is no part of the Kubernetes API: who asks is nobody yet. */
export const nodeJoinPath = "/join/v1/nodes";
const maxRequestBytes = 64 * 1024;

export interface NodeJoinEndpointOptions {
  readonly join: Pick<NodeJoin, "admit">;
  /** Port of the node protocol, beside which agents need only the host that they dialled. */
  readonly nodePort: () => number;
  /** Milliseconds. */
  readonly now: () => number;
}

/**
 * POST { "nodeName", "certificateSigningRequest" } with the token as bearer token; answers { "certificate", "nodePort" }. Who fails too often has to wait.
 */
export class NodeJoinEndpoint {
  readonly #options: NodeJoinEndpointOptions;
  readonly #limiter: AttemptLimiter;

  constructor(options: NodeJoinEndpointOptions) {
    this.#options = options;
    this.#limiter = new AttemptLimiter(options.now);
  }

  async answer(request: ApiRequest): Promise<ApiResponse> {
    if (request.method !== "POST") throw new TesseraError("MethodNotAllowed", `${nodeJoinPath} takes POST only`);
    const attempt = this.#limiter.begin(request.remoteAddress);
    if (attempt.waitMs > 0) {
      const retryAfterSeconds = Math.ceil(attempt.waitMs / 1000);
      const message = `too many attempts to join from this address failed: try again in ${retryAfterSeconds} s`;
      throw new TesseraError("TooManyRequests", message, { details: { retryAfterSeconds } });
    }
    try {
      const token = /^Bearer +([^ ]+)$/i.exec(request.credentials.authorization ?? "")?.[1] ?? "";
      const certificate = await this.#options.join.admit({ token, ...parseRequest(await readBody(request, maxRequestBytes)) });
      attempt.succeeded();
      return jsonResponse({ certificate, nodePort: this.#options.nodePort() });
    } catch (error) {
      // Whoever has a token has nothing to guess.
      if (!(error instanceof TesseraError && ["Unauthorized", "BadRequest"].includes(error.reason))) attempt.succeeded();
      throw error;
    }
  }
}

function parseRequest(body: Buffer): { nodeName: string; signingRequest: string } {
  let value: { nodeName?: unknown; certificateSigningRequest?: unknown } | null;
  try {
    value = JSON.parse(body.toString());
  } catch (cause) {
    throw new TesseraError("BadRequest", "the request is not JSON", { cause });
  }
  const { nodeName, certificateSigningRequest } = value ?? {};
  if (typeof nodeName !== "string" || typeof certificateSigningRequest !== "string") {
    throw new TesseraError("BadRequest", 'expected { "nodeName": NAME, "certificateSigningRequest": PEM }');
  }
  return { nodeName, signingRequest: certificateSigningRequest };
}
