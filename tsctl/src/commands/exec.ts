import { isCancellation, type Pod, TesseraError } from "@tessera/proto";
import { type ClusterContext, type CommandContext, defineCommand, exitCode, flag } from "../command.ts";
import { remoteProtocols, runRemote } from "../remote/remote-command.ts";
import { RawTerminal, terminalSizes } from "../remote/terminal.ts";

interface ExecOptions {
  readonly pod: string;
  readonly command: readonly string[];
  readonly container?: string;
  readonly stdin: boolean;
  readonly tty: boolean;
  readonly quiet: boolean;
}

export const execCommand = defineCommand<ExecOptions>({
  name: "exec",
  summary: "Run a command in a container",
  examples: `# A shell
tsctl exec -it hello -- sh
# Exits as the command does; ${exitCode.connectionLost} when the connection was lost
tsctl exec hello -c main -- test -e /tmp/ready
# Copy a file into the container
tsctl exec -i hello -- sh -c 'cat > /tmp/data' < data`,
  declare: (command) =>
    command
      .argument("<pod>", "name of the pod")
      .argument("[command...]", "after --, the command and its arguments")
      .option("-c, --container <name>", "which container; not needed when there is one")
      .option("-i, --stdin", "pass stdin on")
      .option("-t, --tty", "with a terminal")
      .option("-q, --quiet", "only what the command itself prints"),
  parse: ([pod = "", ...command], flags) => ({
    pod: pod.replace(/^pods?\//, ""),
    command,
    container: flag.text(flags["container"]),
    stdin: flag.isSet(flags["stdin"]),
    tty: flag.isSet(flags["tty"]),
    quiet: flag.isSet(flags["quiet"]),
  }),
  validate: ({ command, pod, tty, stdin }) => [
    ...(pod.includes("/") ? [`"${pod}" is no pod: commands run in pods`] : []),
    ...(command.length === 0 ? [`say what to run, after --: tsctl exec ${tty || stdin ? "-it " : ""}${pod} -- COMMAND`] : []),
  ],
  run: async (options, context) => {
    const cluster = await context.cluster();
    const container = options.container ?? (await chooseContainer(options, cluster, context));
    const tty = options.tty && (await hasTerminal(options, context));
    const path = `/api/v1/namespaces/${encodeURIComponent(cluster.namespace)}/pods/${encodeURIComponent(options.pod)}/exec`;
    const query = new URLSearchParams({ container, stdout: "true", stderr: String(!tty), stdin: String(options.stdin), tty: String(tty) });
    for (const word of options.command) query.append("command", word);
    const ended = new AbortController();
    // Before the connection stands: from then on the command may run, and should know its terminal's size at once.
    using _raw = tty && context.input.isTTY ? new RawTerminal(context.input) : undefined;
    const socket = await cluster.api.websocket(path, query.toString(), remoteProtocols, context.signal);
    try {
      return await runRemote(socket, {
        stdin: options.stdin ? context.input : undefined,
        stdout: (data) => context.out.write(data),
        stderr: (data) => context.err.write(data),
        sizes: tty && context.terminal !== undefined ? terminalSizes(context.terminal, ended.signal) : undefined,
      });
    } catch (error) {
      return await explainBroken(error, context);
    } finally {
      ended.abort();
      context.input.destroy();
    }
  },
});

/** What a broken stream means for the exit code. */
export async function explainBroken(error: unknown, context: CommandContext): Promise<number> {
  if (context.signal.aborted || isCancellation(error)) return 130;
  if (!(error instanceof TesseraError) || error.reason !== "ServiceUnavailable") throw error;
  await context.err.write(`error: ${error.message}\n`);
  return exitCode.connectionLost;
}

/** The server would say it as well, but not which containers there are. */
export async function chooseContainer(
  { pod, quiet }: Pick<ExecOptions, "pod" | "quiet">,
  cluster: ClusterContext,
  context: CommandContext,
): Promise<string> {
  const path = `/api/v1/namespaces/${encodeURIComponent(cluster.namespace)}/pods/${encodeURIComponent(pod)}`;
  const object = await cluster.api.request<Pod>("GET", path, { signal: context.signal });
  const names = (object.spec?.containers ?? []).map((container) => container.name ?? "");
  const [first = ""] = names;
  if (names.length < 2) return first;
  const preferred = object.metadata?.annotations?.["kubectl.kubernetes.io/default-container"];
  const chosen = preferred !== undefined && names.includes(preferred) ? preferred : first;
  if (!quiet) await context.err.write(`Of the containers ${names.join(", ")} this is ${chosen}; -c chooses another one\n`);
  return chosen;
}

async function hasTerminal({ stdin, quiet }: ExecOptions, context: CommandContext): Promise<boolean> {
  if (!stdin) throw new TesseraError("BadRequest", "a terminal needs stdin: use -it");
  if (context.input.isTTY) return true;
  if (!quiet) await context.err.write("note: stdin is no terminal, so the command gets none\n");
  return false;
}
