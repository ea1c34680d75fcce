import { status } from "@grpc/grpc-js";
import { isCancellation, type StatusReason, TesseraError } from "@tessera/proto";

const CODES: { readonly [R in StatusReason]?: status } = {
  BadRequest: status.INVALID_ARGUMENT,
  Invalid: status.INVALID_ARGUMENT,
  Unauthorized: status.UNAUTHENTICATED,
  Forbidden: status.PERMISSION_DENIED,
  NotFound: status.NOT_FOUND,
  AlreadyExists: status.ALREADY_EXISTS,
  Conflict: status.ABORTED,
  Gone: status.NOT_FOUND,
  Timeout: status.DEADLINE_EXCEEDED,
  ServerTimeout: status.UNAVAILABLE,
  ServiceUnavailable: status.UNAVAILABLE,
  TooManyRequests: status.RESOURCE_EXHAUSTED,
};

/** How a call ends with an error: the only place where reasons become gRPC codes here. */
export function toGrpcStatus(error: unknown): { code: status; details: string } {
  if (isCancellation(error)) return { code: status.CANCELLED, details: "cancelled" };
  if (error instanceof TesseraError) return { code: CODES[error.reason] ?? status.INTERNAL, details: error.message };
  return { code: status.INTERNAL, details: error instanceof Error ? error.message : String(error) };
}
