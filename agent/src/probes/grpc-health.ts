import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import type { GRPCAction } from "@tessera/proto";
import { explainDial } from "./dial.ts";
import { failure, LONGEST_ANSWER_BYTES, type ProbeResult, shown, success, USER_AGENT } from "./probe-result.ts";

const PATH = "/grpc.health.v1.Health/Check";
const SERVING = 1;
/** HealthCheckResponse.ServingStatus. */
const STATUS_NAMES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
/** gRPC's own codes, as "grpc-status" carries them. */
const OK = "0";
const NOT_FOUND = "5";
const UNIMPLEMENTED = "12";

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/**
 * Asks a server about its health by the protocol grpc.health.v1, without TLS as Kubernetes does. One call with one small message each way
 * needs no more of gRPC than HTTP/2 gives; a client of the gRPC library keeps the connection to a silent server open after it was closed.
 */
export async function checkGrpcHealth({ port = 0, service = "" }: GRPCAction, host: string, signal: AbortSignal): Promise<ProbeResult> {
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  signal.throwIfAborted();
  const session = connect(`http://${address}`, { settings: { enablePush: false } });
  try {
    return judge(await call(session, service, signal), service);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    return failure(`error: failed to connect to "${address}": ${shown(explainDial(error, address))}`);
  } finally {
    session.destroy();
  }
}

function call(session: ClientHttp2Session, service: string, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    session.on("error", reject);
    const stream = session.request({
      ":method": "POST",
      ":path": PATH,
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": USER_AGENT,
    });
    let headers: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    const chunks: Buffer[] = [];
    let room = LONGEST_ANSWER_BYTES;
    stream.on("response", (received) => {
      headers = received;
    });
    stream.on("trailers", (received) => {
      trailers = received;
    });
    stream.on("data", (chunk: Buffer) => {
      room -= chunk.length;
      if (room >= 0) chunks.push(chunk);
      else reject(new Error(`the answer is longer than ${LONGEST_ANSWER_BYTES} bytes`));
    });
    stream.on("error", reject);
    stream.once("close", () => resolve({ headers, trailers, body: Buffer.concat(chunks) }));
    stream.end(encodeRequest(service));
  });
}

function judge({ headers, trailers, body }: Answer, service: string): ProbeResult {
  const status = trailers["grpc-status"] ?? headers["grpc-status"];
  const details = shown(decodeURIComponentSafely(String(trailers["grpc-message"] ?? headers["grpc-message"] ?? "")));
  switch (status) {
    case OK: {
      const serving = decodeStatus(body);
      return serving === SERVING ? success() : failure(`service unhealthy (responded with "${STATUS_NAMES[serving] ?? serving}")`);
    }
    case undefined:
      return failure(`error: the answer is not gRPC (HTTP status ${headers[":status"] ?? "none"})`);
    case UNIMPLEMENTED:
      return failure(`error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${details}`);
    case NOT_FOUND:
      return failure(`error: the server does not know the service "${service}": ${details}`);
    default:
      return failure(`error: health rpc failed with code ${shown(String(status))}: ${details}`);
  }
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A server that does not escape its message as it should.
    return text;
  }
}

/** A gRPC frame (not compressed, length) with a HealthCheckRequest, whose only field, 1, is the service's name. */
function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service);
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...encodeVarint(name.length)]), name]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function encodeVarint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...encodeVarint(value >>> 7)];
}

/** A gRPC frame with a HealthCheckResponse, whose only field, 1, is the status, a small number; one that is not there is 0. */
function decodeStatus(frame: Buffer): number {
  return frame[5] === 0x08 ? (frame[6] ?? 0) : 0;
}
