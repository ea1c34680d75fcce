/** Another revision of this repository, built in a git worktree of its own. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { told, withUndo } from "./undo.ts";

const root = resolve(import.meta.dirname, "..");
const execute = promisify(execFile);

/** A built revision. */
export interface RevisionTree {
  /** Programs that run benchmarks there, the one to be preferred first. */
  readonly mains: readonly string[];
}

/** A commit's hash; throws when there is none of that name. */
export async function resolveRevision(revision: string): Promise<string> {
  try {
    return (await execute("git", ["rev-parse", "--verify", "--quiet", `${revision}^{commit}`], { cwd: root })).stdout.trim();
  } catch (cause) {
    throw new Error(`there is no commit ${revision} in this repository`, { cause });
  }
}

/**
 * Runs `body` with the commit, built, and removes that. It has the benchmarks of this revision, so that both are measured in the same way; and its own, for
 * those that reach into sources which were other ones then.
 */
export async function withRevision(commit: string, body: (tree: RevisionTree) => Promise<void>): Promise<void> {
  const parent = mkdtempSync(join(tmpdir(), "tessera-bench-revision-"));
  const folder = join(parent, "tree");
  const remove = async () => {
    await execute("git", ["worktree", "remove", "--force", folder], { cwd: root }).catch(() => {});
    rmSync(parent, { recursive: true, force: true });
    await execute("git", ["worktree", "prune"], { cwd: root });
  };
  await withUndo(remove, async () => {
    await execute("git", ["worktree", "add", "--quiet", "--detach", folder, commit], { cwd: root });
    const [ours, own] = [join(folder, "bench"), join(folder, "bench-of-the-commit")];
    if (existsSync(ours)) renameSync(ours, own);
    cpSync(join(root, "bench"), ours, { recursive: true });
    await installPackages(folder);
    await say(["sh", "scripts/build.sh"], folder);
    await body({ mains: [ours, own].map((benchmarks) => join(benchmarks, "main.ts")).filter((main) => existsSync(main)) });
  });
}

/** The packages of this revision when those of the other are the same. */
async function installPackages(folder: string): Promise<void> {
  const lock = (tree: string) => readFileSync(join(tree, "package-lock.json"), "utf8");
  if (lock(root) !== lock(folder)) return await say(["npm", "ci", "--silent", "--no-audit", "--no-fund"], folder);
  const copy = (...how: string[]) => execute("cp", [...how, join(root, "node_modules"), join(folder, "node_modules")]);
  // By links where the temporary folder is on the same file system.
  await copy("-al").catch(async () => {
    rmSync(join(folder, "node_modules"), { recursive: true, force: true });
    await copy("-a");
  });
}

/** Runs a command whose output goes to stderr. */
async function say([program = "", ...args]: readonly string[], cwd: string): Promise<void> {
  const child = spawn(program, args, { cwd, stdio: ["ignore", process.stderr, process.stderr], signal: told });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${[program, ...args].join(" ")} ended with ${code} in ${cwd}`);
}
