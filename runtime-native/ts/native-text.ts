import { constants } from "node:os";
import { RuntimeError } from "./runtime.ts";

const firstSize = 16 * 1024;

/** Lines that a native call writes, without empty ones. */
export async function readLines(fill: (out: Uint8Array) => Promise<void>): Promise<string[]> {
  return (await readText(fill)).split("\n").filter((line) => line !== "");
}

/** Text that a native call writes into a buffer, which grows until it fits. */
export async function readText(fill: (out: Uint8Array) => Promise<void>): Promise<string> {
  for (let size = firstSize; ; size *= 4) {
    const out = new Uint8Array(size);
    try {
      await fill(out);
    } catch (error) {
      if (error instanceof RuntimeError && error.errno === constants.errno.ENOBUFS) continue;
      throw error;
    }
    return Buffer.from(out.buffer, 0, out.indexOf(0)).toString("utf8");
  }
}
