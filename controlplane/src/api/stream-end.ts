import { type Status, type StatusReason, TesseraError } from "@tessera/proto";
import type { Exit } from "@tessera/proto/node";
import { toStatus } from "./status.ts";

const knownReasons: ReadonlySet<string> = new Set<StatusReason>([
  "BadRequest",
  "Conflict",
  "Forbidden",
  "Gone",
  "Invalid",
  "NotFound",
  "ServiceUnavailable",
  "Timeout",
  "TooManyRequests",
]);

/** What an agent says went wrong with a stream; undefined when it ended as it should. */
export function streamError(exit: Exit): TesseraError | undefined {
  if (exit.reason === "") return undefined;
  return new TesseraError(knownReasons.has(exit.reason) ? (exit.reason as StatusReason) : "InternalError", exit.message || exit.reason);
}

/** What the error channel of exec says at the end: success, the command's exit code, or what broke. */
export function exitStatus(exit: Exit): Status {
  const error = streamError(exit);
  if (error !== undefined) return toStatus(error);
  const code = exit.code ?? 0;
  if (code === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    reason: "NonZeroExitCode",
    message: `command terminated with non-zero exit code: exit status ${code}`,
    details: { causes: [{ reason: "ExitCode", message: String(code) }] },
  };
}
