import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type TestContext, test } from "node:test";
import { resolveRevision, withRevision } from "./revision.ts";
import { makeWorkFolder, removeStaleWorkFolders } from "./work-folder.ts";

/** A repository with benchmarks and one commit, whose build does that. */
function repository(t: TestContext, build: string): { root: string; git: (...args: string[]) => string } {
  const root = mkdtempSync(join(tmpdir(), "tessera-revision-"));
  t.after(() => rmSync(root, { recursive: true }));
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=x", "-c", "user.email=x@localhost", ...args], { cwd: root, encoding: "utf8" });
  for (const folder of ["bench", "scripts", "node_modules"]) mkdirSync(join(root, folder));
  for (const [path, text] of Object.entries({
    "package-lock.json": "{}",
    ".gitignore": "node_modules",
    "bench/main.ts": "",
    "scripts/build.sh": build,
  }))
    writeFileSync(join(root, path), text);
  git("init", "--quiet");
  git("add", "--all");
  git("commit", "--quiet", "--message=x");
  return { root, git };
}

const workFolders = () => readdirSync(tmpdir()).filter((name) => name.startsWith(`tessera-bench-${process.pid}-`));

test("a revision is built in a tree of its own, which goes away", async (t) => {
  const { root, git } = repository(t, "touch built");
  await withRevision(
    "HEAD",
    async ({ mains }) => {
      assert.equal(mains.length, 2);
      assert.match(git("worktree", "list"), /tessera-bench-\d+-\w+\/tree/);
    },
    root,
  );
  assert.doesNotMatch(git("worktree", "list"), /tree/);
  assert.deepEqual(workFolders(), []);
});

test("a revision that cannot be built is told, and leaves nothing", async (t) => {
  const { root, git } = repository(t, "echo the compiler is missing >&2; exit 3");
  const body = async () => assert.fail("nothing is to be measured");
  await assert.rejects(withRevision("HEAD", body, root), {
    message: '--compare: the other revision cannot be built: "sh scripts/build.sh" ended with 3; its output is above',
  });
  assert.doesNotMatch(git("worktree", "list"), /tree/);
  assert.deepEqual(workFolders(), []);
});

test("a revision that there is not is told", async () => {
  await assert.rejects(resolveRevision("no-such-branch"), { message: '--compare: there is no commit "no-such-branch" in this repository' });
});

test("folders of benchmarks that were killed are removed, those of others are not", (t) => {
  const { pid } = spawnSync("true");
  const stale = [tmpdir(), "/dev/shm"].map((parent) => mkdtempSync(join(parent, `tessera-bench-${pid}-`)));
  const own = makeWorkFolder();
  t.after(() => rmSync(own, { recursive: true }));
  removeStaleWorkFolders();
  for (const path of stale) assert.ok(!readdirSync(join(path, "..")).includes(basename(path)), path);
  assert.deepEqual(workFolders(), [basename(own)]);
});
