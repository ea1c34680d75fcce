import { type StatusReason, TesseraError } from "@tessera/proto";

const reasons: readonly StatusReason[] = [
  "BadRequest",
  "Unauthorized",
  "Forbidden",
  "NotFound",
  "AlreadyExists",
  "Conflict",
  "Gone",
  "Expired",
  "Invalid",
  "Timeout",
  "ServerTimeout",
  "TooManyRequests",
  "MethodNotAllowed",
  "NotAcceptable",
  "UnsupportedMediaType",
  "RequestEntityTooLarge",
  "InternalError",
  "ServiceUnavailable",
];

const byCode: Readonly<Record<number, StatusReason>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  406: "NotAcceptable",
  409: "Conflict",
  410: "Gone",
  413: "RequestEntityTooLarge",
  415: "UnsupportedMediaType",
  422: "Invalid",
  429: "TooManyRequests",
  503: "ServiceUnavailable",
  504: "Timeout",
};

/** The error that an answer other than 2xx means. The body should be a Status, but a proxy may have answered instead. */
export function toStatusError(code: number, body: string): TesseraError {
  const status = parseStatus(body);
  const reason = reasons.find((known) => known === status?.reason) ?? byCode[code] ?? "InternalError";
  if (status === undefined) return new TesseraError(reason, `the server answered ${code}: ${body.trim().slice(0, 300) || "(no text)"}`);
  return statusError(status, reason);
}

/** The error of a Status object, as it also arrives in watches and over WebSockets. */
export function statusError(status: StatusBody, fallback: StatusReason = "InternalError"): TesseraError {
  const reason = reasons.find((known) => known === status.reason) ?? fallback;
  const causes = (status.details?.causes ?? []).map((cause) => ({
    reason: cause.reason ?? "",
    message: cause.message ?? "",
    field: cause.field ?? "",
  }));
  const { name, group, kind, uid, retryAfterSeconds } = status.details ?? {};
  return new TesseraError(reason, status.message ?? reason, { causes, details: { name, group, kind, uid, retryAfterSeconds } });
}

export interface StatusBody {
  status?: string;
  message?: string;
  reason?: string;
  code?: number;
  details?: {
    name?: string;
    group?: string;
    kind?: string;
    uid?: string;
    retryAfterSeconds?: number;
    causes?: { reason?: string; message?: string; field?: string }[];
  };
}

function parseStatus(body: string): StatusBody | undefined {
  try {
    const value = JSON.parse(body);
    return value?.kind === "Status" ? value : undefined;
  } catch {
    return undefined;
  }
}
