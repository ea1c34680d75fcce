import { constants } from "node:os";
import { RuntimeError, type RuntimeErrorReason } from "./runtime.ts";

/** `struct ts_result` of the C library. */
export interface NativeFailure {
  readonly error: number;
  readonly step: string;
  readonly message: string;
}

const reasons = new Map<number, RuntimeErrorReason>([
  [constants.errno.ENOENT, "NotFound"],
  [constants.errno.ESRCH, "NotFound"],
  [constants.errno.EEXIST, "AlreadyExists"],
  [constants.errno.EINVAL, "InvalidArgument"],
  [constants.errno.ENAMETOOLONG, "InvalidArgument"],
  [constants.errno.ENOSPC, "NoSpace"],
  [constants.errno.EDQUOT, "NoSpace"],
  [constants.errno.ECANCELED, "Cancelled"],
]);

/** The one place where an errno of the library becomes a reason. */
export function toRuntimeError(failure: NativeFailure): RuntimeError {
  return new RuntimeError(reasons.get(failure.error) ?? "Internal", `${failure.step}: ${failure.message}`, {
    step: failure.step,
    errno: failure.error,
  });
}
