import { Client, type ClientOptions, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import type { GRPCAction } from "@tessera/proto";
import { failure, LONGEST_ANSWER_BYTES, type ProbeResult, shown, success } from "./probe-result.ts";

const METHOD = "/grpc.health.v1.Health/Check";
const SERVING = 1;
/** HealthCheckResponse.ServingStatus. */
const STATUS_NAMES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

const OPTIONS: ClientOptions = {
  "grpc.primary_user_agent": "kube-probe/1.36",
  // Each probe is a connection of its own, tried once.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  "grpc.max_receive_message_length": LONGEST_ANSWER_BYTES,
};

/** Asks a server about its health by the protocol grpc.health.v1, without TLS as Kubernetes does. */
export async function checkGrpcHealth(action: GRPCAction, host: string, signal: AbortSignal): Promise<ProbeResult> {
  const address = `${host.includes(":") ? `[${host}]` : host}:${action.port ?? 0}`;
  const client = new Client(address, credentials.createInsecure(), OPTIONS);
  try {
    const serving = await check(client, action.service ?? "", signal);
    if (serving === SERVING) return success();
    return failure(`service unhealthy (responded with "${STATUS_NAMES[serving] ?? serving}")`);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    return failure(explain(error as ServiceError, action.service ?? "", address));
  } finally {
    client.close();
  }
}

function check(client: Client, service: string, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = client.makeUnaryRequest(METHOD, encodeRequest, decodeStatus, service, new Metadata(), {}, (error, serving) => {
      signal.removeEventListener("abort", cancel);
      if (error) reject(error);
      else resolve(serving ?? 0);
    });
    const cancel = () => call.cancel();
    signal.addEventListener("abort", cancel);
    if (signal.aborted) cancel();
  });
}

function explain(error: ServiceError, service: string, address: string): string {
  const details = shown(error.details ?? error.message);
  switch (error.code) {
    case status.UNIMPLEMENTED:
      return `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${details}`;
    case status.NOT_FOUND:
      return `error: the server does not know the service "${service}": ${details}`;
    case status.UNAVAILABLE:
      return `error: failed to connect to "${address}": ${details}`;
    default:
      return `error: health rpc failed: ${details}`;
  }
}

/** HealthCheckRequest: its only field, 1, is the service's name. */
function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service);
  return name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...encodeVarint(name.length)]), name]);
}

function encodeVarint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...encodeVarint(value >>> 7)];
}

/** HealthCheckResponse: its only field, 1, is the status, a small number; one that is not there is 0. */
function decodeStatus(message: Buffer): number {
  return message[0] === 0x08 ? (message[1] ?? 0) : 0;
}
