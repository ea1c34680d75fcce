import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";

/**
 * Makes sure that no other agent works with the same folder for as long as this process lives. The lock belongs to the open file, which the
 * kernel closes with the process whatever ends it; flock(1) takes it on our descriptor because Node.js has no call for it.
 */
export function lockFolder(folder: string): () => void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, "agent.lock");
  const file = openSync(path, "a+", 0o600);
  const { status, error } = spawnSync("flock", ["--nonblock", "--exclusive", "3"], {
    stdio: ["ignore", "ignore", "ignore", file],
    env: {},
  });
  if (error !== undefined || status === null) {
    closeSync(file);
    throw new TesseraError("InternalError", "could not run flock (Debian package util-linux)", { cause: error });
  }
  if (status !== 0) {
    const owner = readFileSync(path, "utf8").trim().split("\n").at(-1);
    closeSync(file);
    throw new TesseraError("Conflict", `another agent (process ${owner}) works with ${folder}: stop it, or use another --data-dir`);
  }
  writeSync(file, `${process.pid}\n`);
  return () => closeSync(file);
}
