import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { attemptFolders } from "./container-spec.ts";
import { logPath, type PodFolders } from "./store.ts";
import { findContainer, type WantedPod } from "./wanted.ts";

/** Kubernetes' limits. */
const LONGEST_MESSAGE_BYTES = 4096;
const LONGEST_FROM_LOG_BYTES = 2048;
const LAST_LINES = 80;

/** What a container that has ended has to say: by its termination log, or where the pod wants that by the end of its log. */
export async function readLastWords(
  want: WantedPod,
  folders: PodFolders,
  ended: { readonly container: string; readonly attempt: number; readonly exitCode: number },
): Promise<string> {
  const { container, attempt, exitCode } = ended;
  const message = await readTerminationMessage(attemptFolders(folders, container, attempt).terminationLog);
  const fromLog = findContainer(want, container)?.spec.terminationMessagePolicy === "FallbackToLogsOnError" && exitCode !== 0;
  return message === "" && fromLog ? await readLogTail(logPath(folders, container, attempt)) : message;
}

/**
 * What a container left in its termination log. The container could write what it liked, but not replace the file itself: still nothing
 * but a regular file is read, and no more than the limit.
 */
export async function readTerminationMessage(path: string): Promise<string> {
  return (await readPiece(path, LONGEST_MESSAGE_BYTES, "start")).trimEnd();
}

/** The last lines of a container's own log, without times and stream names. */
export async function readLogTail(path: string): Promise<string> {
  // Each line of the log carries some 45 bytes beside its text.
  const piece = await readPiece(path, LONGEST_FROM_LOG_BYTES * 8, "end");
  const lines = piece.split("\n").flatMap((line) => /^\S+ std(?:out|err) [FP] (.*)$/.exec(line)?.[1] ?? []);
  return Buffer.from(lines.slice(-LAST_LINES).join("\n")).subarray(-LONGEST_FROM_LOG_BYTES).toString();
}

async function readPiece(path: string, maxBytes: number, from: "start" | "end"): Promise<string> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    // Never written, or removed with the pod: there is no message then.
    return "";
  }
  try {
    const stats = await file.stat();
    if (!stats.isFile()) return "";
    const position = from === "start" ? 0 : Math.max(0, stats.size - maxBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxBytes), 0, maxBytes, position);
    return buffer.subarray(0, bytesRead).toString();
  } finally {
    await file.close();
  }
}
