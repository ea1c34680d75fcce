import { execFileSync } from "node:child_process";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Descriptors } from "./descriptors.ts";

export interface TypeGeneration {
  /** Paths of the programs. */
  readonly buf: string;
  readonly plugin: string;
  /** The descriptors of all protos, as `buf build` writes them. */
  readonly image: string;
  /** The folder that gets the files. */
  readonly out: string;
}

/** ts-proto's options, for all that is generated. */
const common = [
  // Node runs the files as they are: imports name the .ts file, and nothing may need more than the stripping of types.
  "importSuffix=.ts",
  "esModuleInterop=true",
  // An enum of TypeScript is not erasable; an object `as const` is.
  "enumsAsLiterals=true",
  // DeepPartial without Exact<>: the exact form makes the compiler slow and its errors unreadable.
  "useExactTypes=false",
  // protobufPackage and the like would collide when files are exported together.
  "exportCommonSymbols=false",
];

/** The node protocol: messages with binary code, and grpc-js services. */
const nodeProtocol = [
  ...common,
  "env=node",
  "outputServices=grpc-js",
  // { $case: "hello", value } instead of one optional field per alternative: a switch over it is checked by the compiler.
  "oneof=unions-value",
  // number would throw at run time beyond 2^53.
  "forceLong=bigint",
  // Only the binary form travels; JSON and type registry code would triple the bundle.
  "outputJsonMethods=false",
  "outputTypeRegistry=false",
];

/** The API's types: plain JSON objects, so there is no code at all. */
const apiTypes = [
  ...common,
  "onlyTypes=true",
  // JSON omits what is not set, scalars too.
  "useOptionals=all",
  // Field names are JSON names already: hostIP, podIPs.
  "snakeToCamel=false",
  // In JSON a 64-bit number is a number; none of the API's comes near 2^53.
  "forceLong=number",
  // The options' own messages (schema/v1, google.protobuf) are of no use in the output.
  "emitImportedFiles=false",
];

/** TypeScript's type for each Scalar of schema/v1/options.proto, by its number. */
const scalarTypes: Readonly<Record<number, string>> = {
  1: "string",
  2: "string",
  3: "string",
  4: "number | string",
  5: "string",
  6: "{ [key: string]: unknown }",
  7: "unknown",
  8: "string[]",
};

/** Writes tessera/node/v1/node.ts. */
export function generateNodeProtocol(generation: TypeGeneration): void {
  runPlugin(generation, "tessera/node", nodeProtocol);
}

/** Writes a file of types beside each proto's place below tessera/api, and api.ts, which exports them all. */
export function generateApiTypes(generation: TypeGeneration, descriptors: Descriptors): void {
  runPlugin(generation, "tessera/api", apiTypes);
  replaceScalars(generation.out, descriptors);
  const files = globSync("tessera/api/**/*.ts", { cwd: generation.out }).sort(coreFirst);
  writeFileSync(join(generation.out, "api.ts"), exportAll(files, descriptors));
}

function coreFirst(one: string, other: string): number {
  const isCore = (file: string) => file.startsWith("tessera/api/core/");
  return Number(isCore(other)) - Number(isCore(one)) || one.localeCompare(other);
}

/** Types by their own names; those of a file in which a name is taken already by the file's group and version: eventsV1.Event. */
function exportAll(files: readonly string[], descriptors: Descriptors): string {
  const taken = new Set<string>();
  const lines = files.map((file) => {
    const names = descriptors.messages.filter((message) => `${message.file.name}.ts` === file).map((message) => message.name);
    if (!names.some((name) => taken.has(name))) {
      for (const name of names) taken.add(name);
      return `export type * from "./${file}";\n`;
    }
    const [, , group = "", version = ""] = file.split("/");
    return `export type * as ${group}${version.charAt(0).toUpperCase()}${version.slice(1)} from "./${file}";\n`;
  });
  return lines.join("");
}

/**
 * Puts the type of the JSON value in the place of the empty interface that ts-proto makes of a message that stands for one value.
 */
function replaceScalars(out: string, descriptors: Descriptors): void {
  for (const message of descriptors.messages) {
    const scalar = descriptors.rulesOfMessage(message)?.scalar ?? 0;
    if (scalar !== 0) {
      const file = join(out, `${message.file.name}.ts`);
      const text = readFileSync(file, "utf8");
      const replaced = text.replace(`export interface ${message.name} {\n}\n`, `export type ${message.name} = ${scalarTypes[scalar]};\n`);
      if (scalarTypes[scalar] === undefined || replaced === text) {
        throw new Error(`cannot give ${message.typeName} a type of its own: unknown scalar ${scalar}, or ts-proto's output changed`);
      }
      writeFileSync(file, replaced);
    }
  }
}

function runPlugin({ buf, plugin, image, out }: TypeGeneration, path: string, options: readonly string[]): void {
  const template = { version: "v2", plugins: [{ local: plugin, out, opt: options }] };
  execFileSync(buf, ["generate", image, "--path", path, "--template", JSON.stringify(template)], { stdio: "inherit", cwd: out });
}
