import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ContainerState } from "./runtime.ts";

/** RUN/<pod>/sandbox.json: what is needed to find and remove everything of a sandbox. Written before anything else is made. */
export interface SandboxRecord {
  readonly id: string;
  readonly cgroup: string;
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === "ENOENT";
}

export function encodeRecord(record: SandboxRecord): string {
  return JSON.stringify(record);
}

/** Undefined when there is none: then nothing was made for the sandbox but the folder. */
export async function readRecord(directory: string): Promise<SandboxRecord | undefined> {
  let text: string;
  try {
    text = await readFile(join(directory, "sandbox.json"), "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  const value: unknown = JSON.parse(text);
  if (!isRecord(value)) throw new Error(`${directory}/sandbox.json is not a sandbox's record`);
  return value;
}

function isRecord(value: unknown): value is SandboxRecord {
  return typeof value === "object" && value !== null && "id" in value && "cgroup" in value && typeof value.cgroup === "string";
}

export type Exit = Extract<ContainerState, { phase: "exited" }>;

/** What a shim wrote down of ended containers (src/shim/exit-record.c). */
export async function readExits(directory: string): Promise<Exit[]> {
  const exits: Exit[] = [];
  for (const name of await namesIn(directory)) {
    const id = /^([^.].*)\.exit$/.exec(name)?.[1];
    if (id === undefined) continue;
    const value: unknown = JSON.parse(await readFile(join(directory, name), "utf8"));
    if (isExit(value)) exits.push({ ...value, phase: "exited", id });
  }
  return exits;
}

function isExit(value: unknown): value is Omit<Exit, "phase" | "id"> {
  if (typeof value !== "object" || value === null) return false;
  const fields = value as Record<string, unknown>;
  const numbers = ["startedAtMs", "finishedAtMs", "exitCode", "signal"];
  return numbers.every((name) => typeof fields[name] === "number") && typeof fields["oomKilled"] === "boolean";
}

/** Names in the folder; none when it does not exist. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
