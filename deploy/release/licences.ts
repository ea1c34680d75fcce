import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A package that the archive has code of. */
export interface Component {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  /** Texts of licences and notices, as the package brings them. */
  readonly texts: readonly string[];
}

/** Folders of the npm packages whose files are among the inputs of a bundle: "node_modules/pino". */
export function packageFolders(inputs: readonly string[]): string[] {
  const folders = new Set<string>();
  for (const input of inputs) {
    const [, folder] = /^((?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input) ?? [];
    if (folder !== undefined) folders.add(folder);
  }
  return [...folders].sort();
}

/** Throws when the package says nothing of its licence. */
export function readComponent(folder: string): Component {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<string, unknown>;
  if (typeof name !== "string" || typeof version !== "string" || typeof license !== "string")
    throw new Error(`${folder}/package.json does not name the package, its version and its licence`);
  const files = globSync("{LICENSE,LICENCE,NOTICE,COPYING}*", { cwd: folder }).sort();
  return { name, version, licence: license, texts: files.map((file) => readFileSync(join(folder, file), "utf8")) };
}

/** One document about all components, by name. */
export function licenceDocument(components: readonly Component[]): string {
  const sorted = components.toSorted((a, b) => (`${a.name} ${a.version}` < `${b.name} ${b.version}` ? -1 : 1));
  const sections = sorted.map(({ name, version, licence, texts }) => {
    const body = texts.map((text) => text.replaceAll("\r\n", "\n").trim()).join("\n\n");
    return `${"=".repeat(78)}\n${name} ${version} (${licence})\n${"=".repeat(78)}\n\n${body || `Licence: ${licence}. The package brings no text of it.`}\n`;
  });
  return `What this release contains besides Tessera itself, each under its own licence.\n\n${sections.join("\n")}`;
}
