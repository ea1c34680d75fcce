import { isCancellation, type Status, type StatusDetails, type StatusReason, TesseraError } from "@tessera/proto";
import { ExpiredContinue } from "./continue-token.ts";

/** The one place where reasons become HTTP codes. */
const codes: Record<StatusReason, number> = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Gone: 410,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  ServerTimeout: 500,
  ServiceUnavailable: 503,
  Timeout: 504,
};

/** Reasons of which the client may simply try again, with the seconds to wait. */
const retryAfterSeconds: Partial<Record<StatusReason, number>> = {
  ServiceUnavailable: 1,
  Timeout: 1,
  ServerTimeout: 1,
  TooManyRequests: 1,
};

/** An error as a `Status` object. What is no TesseraError is a fault of ours and becomes "InternalError". */
export function toStatus(error: unknown): Status & { code: number } {
  const known = error instanceof TesseraError ? error : undefined;
  const reason = known?.reason ?? (isCancellation(error) ? "Timeout" : "InternalError");
  const message = known?.message ?? `Internal error occurred: ${error instanceof Error ? error.message : String(error)}`;
  const details: StatusDetails = { ...known?.details };
  if (known !== undefined && known.causes.length > 0) details.causes = [...known.causes];
  const wait = details.retryAfterSeconds ?? retryAfterSeconds[reason];
  if (wait !== undefined) details.retryAfterSeconds = wait;
  for (const key of ["group", "name", "kind"] as const) if (!details[key]) delete details[key];
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: error instanceof ExpiredContinue ? { continue: error.continueToken } : {},
    status: "Failure",
    message,
    reason,
    ...(Object.keys(details).length > 0 ? { details } : {}),
    code: codes[reason],
  };
}

export function successStatus(details: StatusDetails): Status {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details };
}
