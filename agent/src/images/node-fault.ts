import { constants } from "node:os";
import { TesseraError } from "@tessera/proto";
import { RuntimeError } from "@tessera/runtime-native";

const { errno } = constants;

/** What the native library reports where a name in a layer is to blame, not the node. */
const layersFaults: ReadonlySet<number> = new Set([
  errno.ENOENT,
  errno.ENOTDIR,
  errno.EISDIR,
  errno.ELOOP,
  errno.EINVAL,
  errno.ENAMETOOLONG,
  errno.EEXIST,
  errno.EMLINK,
  errno.EXDEV,
  errno.E2BIG,
]);

/** Whether the node is to blame (a full disk, no permission) or the wait was given up, rather than the image. */
export function isNodeFault(error: Error): boolean {
  if (error instanceof RuntimeError) {
    if (error.errno === 0) return error.reason !== "InvalidArgument";
    // Folders have no hard links.
    const isLinkToFolder = error.errno === errno.EPERM && error.step === "make hard link of layer";
    return !isLinkToFolder && !layersFaults.has(error.errno);
  }
  return error.name === "AbortError" || typeof (error as NodeJS.ErrnoException).syscall === "string";
}

/** A full disk in words that say whose disk; anything else as it is. */
export function explainNodeFault(error: unknown, doing: string, folder: string): unknown {
  const isFull =
    error instanceof RuntimeError ? error.reason === "NoSpace" : ["ENOSPC", "EDQUOT"].includes((error as { code?: string }).code ?? "");
  if (!isFull) return error;
  return new TesseraError("InternalError", `no space left on this node for ${doing}: the file system of ${folder} is full`, {
    cause: error,
  });
}
