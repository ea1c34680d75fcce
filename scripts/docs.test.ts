import assert from "node:assert/strict";
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, test } from "node:test";

const root = resolve(import.meta.dirname, "..");
/** Made by builds and by npm, so a fresh clone lacks them. */
const generated = ["dist", "node_modules", "proto/gen"];
const entries = new Set(readdirSync(root));
const isSource = /\.(ts|c|h|proto|sh|md)$/;

/** What a document says about the repository. */
interface Claims {
  /** Paths in backticks, from the root. */
  readonly paths: readonly string[];
  /** Targets of links, from the document's own folder. */
  readonly links: readonly string[];
  /** `planPod` (`agent/src/pod/plan.ts`), or `planPod` in that file: the name stands there. */
  readonly names: readonly { readonly name: string; readonly path: string }[];
}

function readClaims(markdown: string): Claims {
  const prose = markdown.replaceAll(/^```[\s\S]*?^```$/gm, "").replaceAll(/\s+/g, " ");
  const paths = [...prose.matchAll(/`([^`]+)`/g)].map(([, span = ""]) => span).filter(isRepositoryPath);
  const links = [...prose.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, target = ""]) => target).filter((target) => !/^[a-z]+:/.test(target));
  const names = [...prose.matchAll(/((?:`[\w.#]+`(?:, | and )?)+)(?: ?\(| in )`([^`]+)`/g)]
    .filter(([, , path = ""]) => isRepositoryPath(path))
    .flatMap(([, list = "", path = ""]) => [...list.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => ({ name, path })));
  return { paths, links, names };
}

/** Begins with a folder of the repository, or ends as a source file does: so that a mistake in the first part is seen too. */
function isRepositoryPath(span: string): boolean {
  if (!/^[\w.@-]+(\/[\w.@-]+)*\/?$/.test(span) || !span.includes("/")) return false;
  if (generated.some((folder) => span === folder || span.startsWith(`${folder}/`))) return false;
  return entries.has(span.split("/", 1)[0] ?? "") || isSource.test(span);
}

/** What of the claims is not so. */
function findFaults(document: string, markdown: string): string[] {
  const { paths, links, names } = readClaims(markdown);
  const folder = dirname(join(root, document));
  return [
    ...paths.filter((path) => !existsSync(join(root, path))).map((path) => `${path} does not exist`),
    ...links.filter((target) => !existsSync(join(folder, target))).map((target) => `the link ${target} leads nowhere`),
    ...names.filter(({ name, path }) => !says(path, name)).map(({ name, path }) => `${path} has no ${name}`),
  ];
}

function says(path: string, name: string): boolean {
  const file = join(root, path);
  // A file that is not there is told as such.
  return !existsSync(file) || new RegExp(`\\b${name.split(/[.#]/).at(-1)}\\b`).test(readFileSync(file, "utf8"));
}

describe("documentation", () => {
  const documents = ["README.md", ...globSync("docs/**/*.md", { cwd: root })].map((path) => relative(root, join(root, path)));
  for (const document of documents) {
    test(`${document} speaks of files and functions that are there`, () => {
      assert.deepEqual(findFaults(document, readFileSync(join(root, document), "utf8")), []);
    });
  }

  test("is checked: a path, a link and a name that are not there are found", () => {
    const text =
      "`agent/src/pod/plam.ts`, `agemt/x.ts`, [a](nowhere.md), `planPod`, `planNothing` (`agent/src/pod/plan.ts`), `noStep` in `agent/src/pod/steps.ts`, `dist/agent.mjs`";
    assert.deepEqual(findFaults("README.md", text), [
      "agent/src/pod/plam.ts does not exist",
      "agemt/x.ts does not exist",
      "the link nowhere.md leads nowhere",
      "agent/src/pod/plan.ts has no planNothing",
      "agent/src/pod/steps.ts has no noStep",
    ]);
  });
});
