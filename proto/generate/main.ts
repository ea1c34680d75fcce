/**
 * Makes everything below gen/ from the .proto files: the node protocol's code, the types of the API, and the schemas.
 * Run as `npm run generate -w @tessera/proto`. Does nothing when no input changed since the last run.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { readDescriptors } from "./descriptors.ts";
import { generateSchemas } from "./schemas.ts";
import { generateApiTypes, generateNodeProtocol } from "./types.ts";

const root = join(import.meta.dirname, "..");
const gen = join(root, "gen");
const stampFile = join(gen, "inputs.sha256");

const { values: options } = parseArgs({
  options: {
    // Make everything anew although no input changed.
    force: { type: "boolean", default: false },
    // Make everything in this folder, which must exist, and leave gen/ alone.
    out: { type: "string" },
  },
});
const stamp = hashOf(inputs());
if (options.out !== undefined) {
  generate(resolve(options.out));
} else if (options.force || !existsSync(stampFile) || readFileSync(stampFile, "utf8") !== stamp) {
  replaceGenerated();
}

/** Everything is made beside gen/ and then put in its place, so that a run that fails or is killed leaves the old state or none. */
function replaceGenerated(): void {
  const made = mkdtempSync(join(root, "gen.new-"));
  try {
    generate(made);
    writeFileSync(join(made, "inputs.sha256"), stamp);
    chmodSync(made, 0o755);
    putInPlace(made);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

/** Moves the new folder to its place. Another run may do the same at this moment: then one of the two equal results stays. */
function putInPlace(made: string): void {
  const old = mkdtempSync(join(root, "gen.old-"));
  try {
    if (existsSync(gen)) {
      renameSync(gen, join(old, "gen"));
    }
    renameSync(made, gen);
  } catch (error) {
    if (!existsSync(stampFile) || readFileSync(stampFile, "utf8") !== stamp) {
      throw error;
    }
  } finally {
    rmSync(old, { recursive: true, force: true });
  }
}

function generate(out: string): void {
  const image = join(out, "image.binpb");
  execFileSync(tool("buf"), ["build", root, "-o", image], { stdio: "inherit" });
  const descriptors = readDescriptors(image);
  const generation = { buf: tool("buf"), plugin: tool("protoc-gen-ts_proto"), image, out };
  generateNodeProtocol(generation);
  generateApiTypes(generation, descriptors);
  generateSchemas(out, descriptors);
  rmSync(image);
}

/** A program of an npm package, found where npm's workspaces put it: here or in the root. */
function tool(name: string): string {
  const places = [join(root, "node_modules/.bin", name), join(root, "../node_modules/.bin", name)];
  const found = places.find((place) => existsSync(place));
  if (found === undefined) {
    throw new Error(`${name} is not installed (looked at ${places.join(" and ")}); run npm install`);
  }
  return found;
}

/** All files that the output depends on: the protos, this program, and the versions of the tools. */
function inputs(): string[] {
  const below = (folder: string, suffix: string) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(suffix))
      .map((name) => join(root, folder, name));
  const packages = ["ts-proto", "@bufbuild/buf", "@bufbuild/protobuf"].flatMap((name) =>
    [join(root, "node_modules", name, "package.json"), join(root, "../node_modules", name, "package.json")].filter((path) =>
      existsSync(path),
    ),
  );
  return [...below("tessera", ".proto"), ...below("generate", ".ts"), join(root, "buf.yaml"), ...packages].sort();
}

function hashOf(files: readonly string[]): string {
  const hash = createHash("sha256");
  for (const file of files) {
    hash.update(relative(root, file)).update("\0").update(readFileSync(file)).update("\0");
  }
  return hash.digest("hex");
}
