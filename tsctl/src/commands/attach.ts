import { type ContainerStatus, isCancellation, type Pod, type PodStatus } from "@tessera/proto";
import type { ApiObject } from "../api/api.ts";
import { follow } from "../api/watch.ts";
import { type ClusterContext, type CommandContext, defineCommand, exitCode, flag } from "../command.ts";
import { remoteProtocols, runRemote } from "../remote/remote-command.ts";
import { RawTerminal, terminalSizes } from "../remote/terminal.ts";
import { chooseContainer, explainBroken } from "./exec.ts";

interface AttachOptions {
  readonly pod: string;
  readonly container?: string;
  readonly stdin: boolean;
  readonly tty: boolean;
  readonly quiet: boolean;
}

/** The end of a container is told on its streams a moment before it stands in the pod's status; after this it goes on without us. */
const statusPatienceMs = 1_000;

export const attachCommand = defineCommand<AttachOptions>({
  name: "attach",
  summary: "Watch and steer a container's own process",
  examples: `# What it prints from now on
tsctl attach hello
# With stdin and terminal, if the container was made with them; exits as the container does
tsctl attach -it hello`,
  declare: (command) =>
    command
      .argument("<pod>", "name of the pod")
      .option("-c, --container <name>", "which container; not needed when there is one")
      .option("-i, --stdin", "pass stdin on")
      .option("-t, --tty", "with the container's terminal")
      .option("-q, --quiet", "only what the container prints"),
  parse: ([pod = ""], flags) => ({
    pod: pod.replace(/^pods?\//, ""),
    container: flag.text(flags["container"]),
    stdin: flag.isSet(flags["stdin"]),
    tty: flag.isSet(flags["tty"]),
    quiet: flag.isSet(flags["quiet"]),
  }),
  validate: ({ pod, tty, stdin }) => [
    ...(pod.includes("/") ? [`"${pod}" is no pod: only pods have processes`] : []),
    ...(tty && !stdin ? ["a terminal needs stdin: use -it"] : []),
  ],
  run: async (options, context) => {
    const cluster = await context.cluster();
    const container = options.container ?? (await chooseContainer(options, cluster, context));
    const before = await readContainer(options.pod, container, cluster, context);
    const notes = [
      ...(options.stdin && !before.stdin ? [`note: container ${container} was made without stdin, so what is typed goes nowhere\n`] : []),
      ...(options.tty && !before.tty ? [`note: container ${container} was made without a terminal\n`] : []),
    ];
    if (!options.quiet) for (const note of notes) await context.err.write(note);
    const tty = before.tty && (options.tty || !options.stdin);
    const path = `${podPath(cluster, options.pod)}/attach`;
    const query = new URLSearchParams({ container, stdout: "true", stderr: String(!tty), stdin: String(options.stdin), tty: String(tty) });
    const ended = new AbortController();
    using _raw = tty && options.stdin && context.input.isTTY ? new RawTerminal(context.input) : undefined;
    const socket = await cluster.api.websocket(path, query.toString(), remoteProtocols, context.signal);
    try {
      const code = await runRemote(socket, {
        stdin: options.stdin ? context.input : undefined,
        stdout: (data) => context.out.write(data),
        stderr: (data) => context.err.write(data),
        sizes: tty && context.terminal !== undefined ? terminalSizes(context.terminal, ended.signal) : undefined,
      });
      return code !== 0 ? code : await exitCodeOf(options.pod, container, before.status, cluster, context);
    } catch (error) {
      return await explainBroken(error, context);
    } finally {
      ended.abort();
      context.input.destroy();
    }
  },
});

function podsPath(cluster: ClusterContext): string {
  return `/api/v1/namespaces/${encodeURIComponent(cluster.namespace)}/pods`;
}

function podPath(cluster: ClusterContext, pod: string): string {
  return `${podsPath(cluster)}/${encodeURIComponent(pod)}`;
}

interface ContainerView {
  readonly stdin: boolean;
  readonly tty: boolean;
  readonly status: ContainerStatus | undefined;
}

async function readContainer(pod: string, name: string, cluster: ClusterContext, context: CommandContext): Promise<ContainerView> {
  const object = await cluster.api.request<Pod>("GET", podPath(cluster, pod), { signal: context.signal });
  const { spec = {}, status = {} } = object;
  const { containers = [], initContainers = [], ephemeralContainers = [] } = spec;
  const container = [...containers, ...initContainers, ...ephemeralContainers].find((each) => each.name === name);
  return { stdin: container?.stdin ?? false, tty: container?.tty ?? false, status: statusOf(name, status) };
}

function statusOf(name: string, status: PodStatus): ContainerStatus | undefined {
  const { containerStatuses = [], initContainerStatuses = [], ephemeralContainerStatuses = [] } = status;
  return [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses].find((each) => each.name === name);
}

/** How the run that we were attached to ended; 0 when it goes on without us. */
async function exitCodeOf(
  pod: string,
  name: string,
  before: ContainerStatus | undefined,
  cluster: ClusterContext,
  context: CommandContext,
): Promise<number> {
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(statusPatienceMs)]);
  const query = { fieldSelector: `metadata.name=${pod}` };
  try {
    for await (const news of follow<Pod & ApiObject>(cluster.api, podsPath(cluster), query, { signal })) {
      const object = news.type === "LISTED" ? news.items[0] : news.object;
      const status = object?.status && statusOf(name, object.status);
      const ends = [status?.state?.terminated, status?.lastState?.terminated];
      const end = ends.find((each) => each !== undefined && each.containerID === before?.containerID);
      if (end !== undefined) return end.exitCode ?? 0;
      if (object === undefined || news.type === "DELETED") break;
    }
  } catch (error) {
    if (!isCancellation(error)) throw error;
  }
  return context.signal.aborted ? exitCode.connectionLost : 0;
}
