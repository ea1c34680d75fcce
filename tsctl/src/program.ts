import { TesseraError } from "@tessera/proto";
import { Command, CommanderError } from "commander";
import { connect } from "./api/connect.ts";
import { Discovery } from "./api/discovery.ts";
import type { Clock } from "./clock.ts";
import { type AnyCommand, type ClusterContext, type CommandContext, exitCode, flag } from "./command.ts";
import { completeWord } from "./commands/completion.ts";
import { commands, groups } from "./commands/index.ts";
import { complete } from "./complete.ts";
import { describeError } from "./errors.ts";
import type { Output } from "./output.ts";
import type { Settings } from "./settings.ts";

/** What the program stands on; tests bring their own. */
export interface Environment {
  readonly out: Output;
  readonly err: Output;
  readonly input: NodeJS.ReadStream;
  readonly terminal: NodeJS.WriteStream | undefined;
  readonly clock: Clock;
  readonly settings: Settings;
  readonly signal: AbortSignal;
  /** In place of the kubeconfig, in tests. */
  readonly connect?: typeof connect;
}

interface GlobalFlags {
  readonly context?: string;
  readonly kubeconfig?: string;
  readonly namespace?: string;
}

/** Runs one command line (without the program's own name) and returns its exit code. */
export async function runProgram(argv: readonly string[], environment: Environment): Promise<number> {
  const session = new Session(environment);
  const program = buildProgram(commands, session);
  try {
    if (argv[0] === completeWord) return await session.complete(argv.slice(argv[1] === "--" ? 2 : 1), program);
    await program.parseAsync(normalizeFlags(argv, program), { from: "user" });
    return session.code;
  } catch (error) {
    return await session.tellError(error);
  } finally {
    session.close();
  }
}

/** One run of the program: what the commands share, made when first asked for. */
class Session {
  readonly environment: Environment;
  code = 0;
  #cluster: Promise<ClusterContext> | undefined;
  #close = () => {};

  constructor(environment: Environment) {
    this.environment = environment;
  }

  context(flags: GlobalFlags): CommandContext {
    const { out, err, input, terminal, clock, settings, signal } = this.environment;
    return { out, err, input, terminal, clock, settings, signal, cluster: () => this.#connect(flags) };
  }

  async complete(words: readonly string[], program: Command): Promise<number> {
    const candidates = await complete(words, program, () => this.#connect(namespaceOf(words))).catch(() => []);
    await this.environment.out.write(candidates.map((candidate) => `${candidate}\n`).join(""));
    return 0;
  }

  async tellError(error: unknown): Promise<number> {
    // Commander has said it already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCode.usage;
    if (this.environment.signal.aborted) return 130;
    await this.environment.err.write(describeError(error));
    return error instanceof UsageError ? exitCode.usage : exitCode.failed;
  }

  close(): void {
    this.#close();
  }

  #connect(flags: GlobalFlags): Promise<ClusterContext> {
    this.#cluster ??= this.#openCluster(flags);
    return this.#cluster;
  }

  async #openCluster(flags: GlobalFlags): Promise<ClusterContext> {
    const { settings, err, signal } = this.environment;
    const connection = await (this.environment.connect ?? connect)({
      kubeconfigs: flags.kubeconfig === undefined ? settings.kubeconfigs : [flags.kubeconfig],
      context: flags.context,
      onWarning: (text) => void err.write(`Warning: ${text}\n`),
    });
    const { api } = connection;
    this.#close = () => api.close();
    let discovery: Promise<Discovery> | undefined;
    return {
      api,
      context: connection.context,
      namespace: flags.namespace ?? connection.namespace,
      namespaceIsForced: flags.namespace !== undefined,
      discovery: () => {
        discovery ??= Discovery.read(api, signal);
        return discovery;
      },
    };
  }
}

/** Completion does not parse the line, but names depend on its namespace. */
function namespaceOf(words: readonly string[]): GlobalFlags {
  const after = (...names: string[]) => words[words.findLastIndex((word) => names.includes(word)) + 1 || words.length];
  return { namespace: after("-n", "--namespace"), context: after("--context"), kubeconfig: after("--kubeconfig") };
}

/** A command line that cannot be meant. */
class UsageError extends TesseraError {}

export function buildProgram(definitions: readonly AnyCommand[], session: Session): Command {
  const { out, err, settings } = session.environment;
  const program = new Command("tsctl")
    .description("The command line of Tessera, and of any Kubernetes API.")
    .version(settings.version, "--version", "show the version of tsctl")
    .option("--context <name>", "which context of the kubeconfig")
    .option("--kubeconfig <path>", "which kubeconfig, in place of $KUBECONFIG or ~/.kube/config")
    .option("-n, --namespace <name>", "which namespace, in place of the context's")
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .configureOutput({ writeOut: (text) => void out.write(text), writeErr: (text) => void err.write(text) })
    .showSuggestionAfterError()
    .exitOverride();
  program.addHelpText("after", '\n"tsctl COMMAND --help" tells more, with examples.');
  for (const definition of definitions) addCommand(program, definition, session);
  return program;
}

function addCommand(program: Command, definition: AnyCommand, session: Session): void {
  const words = definition.name.split(" ");
  const name = words.pop() ?? "";
  const parent = words.reduce((above, word) => above.commands.find((each) => each.name() === word) ?? addGroup(above, word), program);
  const command = parent
    .command(name)
    .description(definition.summary)
    .aliases([...(definition.aliases ?? [])]);
  definition.declare(command);
  const examples = definition.examples.split("\n").map((line) => `  ${line}`);
  command.addHelpText("after", `\nExamples:\n${examples.join("\n")}`);
  command.action(async () => {
    session.code = await runCommand(definition, command, session);
  });
}

function addGroup(above: Command, word: string): Command {
  return above.command(word).description(groups[word] ?? "");
}

async function runCommand(definition: AnyCommand, command: Command, session: Session): Promise<number> {
  const options = parseOptions(definition, command);
  const globals: GlobalFlags = command.optsWithGlobals();
  const faults = [...(definition.validate?.(options) ?? []), ...globalFaults(globals)];
  if (faults.length > 0) throw new UsageError("BadRequest", `${faults.join("\n       ")}\nsee "tsctl ${definition.name} --help"`);
  return await definition.run(
    options,
    session.context({ context: flag.text(globals.context), kubeconfig: globals.kubeconfig, namespace: globals.namespace }),
  );
}

function globalFaults({ namespace }: GlobalFlags): string[] {
  if (namespace === undefined || /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace)) return [];
  return [`"${namespace}" cannot be the name of a namespace: lower case letters, digits and "-"`];
}

function parseOptions(definition: AnyCommand, command: Command): unknown {
  try {
    // "create" and "create configmap" share flags, and commander gives them to the first that knows them.
    return definition.parse(command.args, command.optsWithGlobals());
  } catch (error) {
    if (!(error instanceof TesseraError) || error.reason !== "BadRequest") throw error;
    throw new UsageError("BadRequest", `${error.message}\nsee "tsctl ${definition.name} --help"`);
  }
}

/**
 * kubectl's way to write flags without a value, "--watch=true" and "--wait=false", as commander knows them. What follows "--" is not
 * ours.
 */
export function normalizeFlags(argv: readonly string[], program: Command): string[] {
  const below = (command: Command): Command[] => [command, ...command.commands.flatMap(below)];
  const all = below(program);
  const options = all.flatMap((command) => command.options);
  const end = argv.indexOf("--");
  const ours = end < 0 ? argv : argv.slice(0, end);
  const normalized = ours.flatMap((word) => {
    const match = /^--([a-z-]+)=(true|false)$/.exec(word);
    if (match === null) return [word];
    const [, name, value] = match;
    if (options.some((option) => option.long === `--no-${name}`)) return value === "false" ? [`--no-${name}`] : [];
    const isSwitch = options.some((option) => option.long === `--${name}` && !option.required && !option.optional);
    if (!isSwitch) return [word];
    return value === "true" ? [`--${name}`] : [];
  });
  return end < 0 ? normalized : [...normalized, ...argv.slice(end)];
}
