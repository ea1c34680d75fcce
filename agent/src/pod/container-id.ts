import { createHash } from "node:crypto";

const PREFIX = "tessera://";

/** The container ID in statuses: 64 hexadecimal digits as tools expect, the same whenever it is asked for. */
export function containerId(podUid: string, attemptId: string): string {
  return PREFIX + createHash("sha256").update(`${podUid}/${attemptId}`).digest("hex");
}
