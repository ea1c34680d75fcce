import type { Command } from "commander";
import type { Api } from "./api/api.ts";
import type { Discovery } from "./api/discovery.ts";
import type { Clock } from "./clock.ts";
import type { Output } from "./output.ts";
import type { Settings } from "./settings.ts";

/** What a command works with, beside its options. */
export interface CommandContext {
  readonly out: Output;
  readonly err: Output;
  readonly input: NodeJS.ReadStream;
  /** The terminal that output goes to; undefined when it goes elsewhere. */
  readonly terminal: NodeJS.WriteStream | undefined;
  readonly clock: Clock;
  readonly settings: Settings;
  /** Aborted when the user presses Ctrl-C or the program is told to end. */
  readonly signal: AbortSignal;
  /** The chosen cluster; reads the kubeconfig at the first call. */
  readonly cluster: () => Promise<ClusterContext>;
}

export interface ClusterContext {
  readonly api: Api;
  /** The one of -n, or of the kubeconfig's context. */
  readonly namespace: string;
  /** True when it was given by -n. */
  readonly namespaceIsForced: boolean;
  /** Name of the kubeconfig's context. */
  readonly context: string;
  /** What the server serves; asked once. */
  readonly discovery: () => Promise<Discovery>;
}

/** One command in its three stages: words to options, what is wrong with them, and doing it. */
export interface CommandDefinition<Options> {
  /** "get", or "image load" for a command below another. */
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly summary: string;
  /** Shown by --help; at least one. Lines that begin with "#" explain the next one. */
  readonly examples: string;
  /** Declares arguments and flags. */
  readonly declare: (command: Command) => void;
  /** Words and flags, as commander took them apart, to options. Throws TesseraError "BadRequest" for what is no value at all. */
  readonly parse: (words: readonly string[], flags: Readonly<Record<string, unknown>>) => Options;
  /** Everything that is wrong with the options, in sentences. */
  readonly validate?: (options: Options) => readonly string[];
  /** Returns the exit code. */
  readonly run: (options: Options, context: CommandContext) => Promise<number>;
}

/** A definition whose options only it knows. */
export type AnyCommand = CommandDefinition<unknown>;

export function defineCommand<Options>(definition: CommandDefinition<Options>): AnyCommand {
  // The options that `parse` makes go to `validate` and `run` of the same definition and nowhere else.
  return definition as unknown as AnyCommand;
}

/** Exit codes beside 0. */
export const exitCode = {
  failed: 1,
  /** The command line was wrong. */
  usage: 2,
  /** The connection was lost: what became of the command is not known. */
  connectionLost: 255,
} as const;

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
export const flag = {
  text,
  isSet: (value: unknown): boolean => value === true,
  texts: (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : []),
};

/** For commander: a flag that may be given several times. */
export const collect = (value: string, earlier: readonly string[] | undefined): readonly string[] => [...(earlier ?? []), value];
