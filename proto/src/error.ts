import type { StatusCause, StatusDetails } from "../gen/api.ts";

/**
 * The one error class of Tessera. Identity is the `reason`, never the text: it is a Kubernetes StatusReason, so it survives
 * every process border unchanged. Translations to HTTP, gRPC and exit codes live at each edge.
 */
export class TesseraError extends Error {
  override readonly name = "TesseraError";
  readonly reason: StatusReason;
  /** Field faults, one each: reason "FieldValueInvalid" or the like, field "spec.containers[0].image". Becomes Status.details.causes. */
  readonly causes: readonly StatusCause[];
  /** What the error is about; becomes Status.details. */
  readonly details: StatusDetails;
  constructor(
    reason: StatusReason,
    message: string,
    options: { cause?: unknown; causes?: readonly StatusCause[]; details?: StatusDetails } = {},
  ) {
    super(message, { cause: options.cause });
    this.reason = reason;
    this.causes = options.causes ?? [];
    this.details = options.details ?? {};
  }
}

/** The closed set of reasons, spelt as in Kubernetes' meta/v1. */
export type StatusReason =
  | "BadRequest"
  | "Unauthorized"
  | "Forbidden"
  | "NotFound"
  | "AlreadyExists"
  | "Conflict"
  | "Gone"
  | "Expired"
  | "Invalid"
  | "Timeout"
  | "ServerTimeout"
  | "TooManyRequests"
  | "MethodNotAllowed"
  | "NotAcceptable"
  | "UnsupportedMediaType"
  | "RequestEntityTooLarge"
  | "InternalError"
  | "ServiceUnavailable";

/** True for errors that merely say that the caller stopped waiting (an aborted signal). */
export function isCancellation(error: unknown): boolean {
  return error instanceof Error && (error.name === "AbortError" || (error as { code?: unknown }).code === "ABORT_ERR");
}
