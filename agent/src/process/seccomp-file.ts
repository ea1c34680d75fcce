import { constants, open, realpath } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import type { SeccompProfile } from "@tessera/runtime-native";
import { parseSeccompProfile } from "./seccomp-profile.ts";

const LARGEST_FILE = 1024 * 1024;

/**
 * The profile that `localhostProfile` names, a file below the node's folder for them. Throws TesseraError NotFound or Invalid, which says what
 * is wrong with the name or the file.
 */
export async function readSeccompProfile(folder: string, name: string, capabilities: readonly string[]): Promise<SeccompProfile> {
  const what = `seccomp profile "${name}"`;
  const text = await readFileBelow(folder, name, what);
  try {
    return parseSeccompProfile(text, { capabilities, architecture: process.arch, kernel: release() });
  } catch (error) {
    if (!(error instanceof TesseraError)) throw error;
    throw new TesseraError(error.reason, `${what}: ${error.message}`, { cause: error });
  }
}

/** Links are followed inside of the folder only. */
async function readFileBelow(folder: string, name: string, what: string): Promise<string> {
  try {
    const [root, path] = await Promise.all([realpath(folder), realpath(join(folder, name))]);
    if (!path.startsWith(`${root}/`)) throw new TesseraError("Invalid", `${what} leads out of ${folder}`);
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const found = await file.stat();
    if (!found.isFile()) throw new TesseraError("Invalid", `${what} is not a file`);
    if (found.size > LARGEST_FILE) throw new TesseraError("Invalid", `${what} is larger than ${LARGEST_FILE} bytes`);
    return await file.readFile("utf8");
  } catch (error) {
    if (error instanceof TesseraError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR")
      throw new TesseraError("NotFound", `${what} is not on this node; expected ${join(folder, name)}`);
    throw new TesseraError("Invalid", `${what} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
