/** Another revision of this repository, built in a git worktree of its own. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { TesseraError } from "@tessera/proto";
import { told, withUndo } from "./undo.ts";
import { makeWorkFolder } from "./work-folder.ts";

const repository = resolve(import.meta.dirname, "..");
const execute = promisify(execFile);

/** A built revision. */
export interface RevisionTree {
  /** Programs that run benchmarks there, the one to be preferred first. */
  readonly mains: readonly string[];
}

/** A commit's hash; throws when there is none of that name. */
export async function resolveRevision(revision: string): Promise<string> {
  try {
    return (await execute("git", ["rev-parse", "--verify", "--quiet", `${revision}^{commit}`], { cwd: repository })).stdout.trim();
  } catch (cause) {
    throw new TesseraError("NotFound", `--compare: there is no commit "${revision}" in this repository`, { cause });
  }
}

/**
 * Runs `body` with the commit, built, and removes that. It has the benchmarks of this revision, so that both are measured in the same way; and its own, for
 * those that reach into sources which were other ones then. Throws TesseraError when it cannot be built.
 */
export async function withRevision(commit: string, body: (tree: RevisionTree) => Promise<void>, root = repository): Promise<void> {
  const parent = makeWorkFolder();
  const folder = join(parent, "tree");
  const remove = async () => {
    await execute("git", ["worktree", "remove", "--force", folder], { cwd: root }).catch(() => {});
    rmSync(parent, { recursive: true, force: true });
    await execute("git", ["worktree", "prune"], { cwd: root });
  };
  await withUndo(remove, async () => {
    // Those whose folder is gone are of benchmarks that were killed.
    await execute("git", ["worktree", "prune"], { cwd: root });
    await execute("git", ["worktree", "add", "--quiet", "--detach", folder, commit], { cwd: root });
    const [ours, own] = [join(folder, "bench"), join(folder, "bench-of-the-commit")];
    if (existsSync(ours)) renameSync(ours, own);
    cpSync(join(root, "bench"), ours, { recursive: true });
    await installPackages(root, folder);
    await build(["sh", "scripts/build.sh"], folder);
    await body({ mains: [ours, own].map((benchmarks) => join(benchmarks, "main.ts")).filter((main) => existsSync(main)) });
  });
}

/** The packages of this revision when those of the other are the same. */
async function installPackages(root: string, folder: string): Promise<void> {
  const lock = (tree: string) => readFileSync(join(tree, "package-lock.json"), "utf8");
  if (lock(root) !== lock(folder)) return await build(["npm", "ci", "--silent", "--no-audit", "--no-fund"], folder);
  const copy = (...how: string[]) => execute("cp", [...how, join(root, "node_modules"), join(folder, "node_modules")]);
  // By links where the temporary folder is on the same file system.
  await copy("-al").catch(async () => {
    rmSync(join(folder, "node_modules"), { recursive: true, force: true });
    await copy("-a");
  });
}

/** Runs a command of the build, whose output goes to stderr. */
async function build([program = "", ...args]: readonly string[], cwd: string): Promise<void> {
  const child = spawn(program, args, { cwd, stdio: ["ignore", process.stderr, process.stderr], signal: told });
  const [code] = await once(child, "close");
  if (code !== 0) {
    const what = [program, ...args].join(" ");
    throw new TesseraError(
      "InternalError",
      `--compare: the other revision cannot be built: "${what}" ended with ${code}; its output is above`,
    );
  }
}
