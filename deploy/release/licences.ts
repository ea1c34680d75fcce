import { globSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A package that the archive has code of. */
export interface Component {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  /** Texts of licences and notices, in full. At least one. */
  readonly texts: readonly string[];
}

/** One file of the archive's folder of licences. */
export interface LicenceFile {
  /** Below that folder: "@grpc/grpc-js-1.14.7.txt". */
  readonly path: string;
  readonly text: string;
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

/** Packages that bring their texts elsewhere than in a file of the usual name. */
const textsElsewhere: Readonly<Record<string, (folder: string) => string[]>> = {
  // Apache-2.0, whose text is the same for all; and for one file BSD-3-Clause, as that file says at its top.
  "@bufbuild/protobuf": (folder) => [
    readFileSync(join(import.meta.dirname, "../../LICENSE"), "utf8"),
    leadingComment(join(folder, "dist/esm/wire/varint.js")),
  ],
};

/** Throws when the package does not say what its licence is, or brings no text of it. */
export function readComponent(folder: string): Component {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<string, unknown>;
  if (typeof name !== "string" || typeof version !== "string" || typeof license !== "string")
    throw new Error(`${folder}/package.json does not name the package, its version and its licence`);
  const files = readdirSync(folder).filter(isLicenceFile).sort();
  const texts = textsElsewhere[name]?.(folder) ?? files.map((file) => readFileSync(join(folder, file), "utf8"));
  if (!texts.some((text) => text.trim() !== ""))
    throw new Error(`${folder} brings no text of its licence, ${license}: say in textsElsewhere of deploy/release/licences.ts where it is`);
  return { name, version, licence: license, texts };
}

function isLicenceFile(name: string): boolean {
  return /^(licen[cs]e|notice|copying|copyright)/i.test(name) && !/\.[cm]?[jt]s$/.test(name);
}

/** The folder of the package that brings the program itself: npm's package "node" only fetches it. Throws when it is not there. */
export function nodeFolder(): string {
  const [folder] = globSync(`node_modules/{node/node_modules/,}node-linux-${process.arch}`);
  if (folder === undefined) throw new Error(`npm's package node-linux-${process.arch} is not installed: run "sh scripts/setup.sh" first`);
  return folder;
}

/** The comment that a file begins with, without its slashes. */
function leadingComment(path: string): string {
  const lines = readFileSync(path, "utf8").split("\n");
  const end = lines.findIndex((line) => !line.startsWith("//"));
  return lines
    .slice(0, end === -1 ? lines.length : end)
    .map((line) => line.replace(/^\/\/ ?/, ""))
    .join("\n");
}

/** One file for each component, and INDEX.txt, which lists them. */
export function licenceFiles(components: readonly Component[]): LicenceFile[] {
  const sorted = components.toSorted((a, b) => (`${a.name} ${a.version}` < `${b.name} ${b.version}` ? -1 : 1));
  const files = sorted.map((component) => ({ path: `${component.name}-${component.version}.txt`, text: licenceText(component) }));
  const index = sorted.map(({ name, version, licence }, at) => `${name} ${version} (${licence}): ${files[at]?.path}\n`);
  const text = `What this release contains besides Tessera itself, each under its own licence.\n\n${index.join("")}`;
  return [{ path: "INDEX.txt", text }, ...files];
}

function licenceText({ name, version, licence, texts }: Component): string {
  const body = texts.map((text) => text.replaceAll("\r\n", "\n").trim()).join(`\n\n${"-".repeat(78)}\n\n`);
  return `${name} ${version} (${licence})\n\n${body}\n`;
}
