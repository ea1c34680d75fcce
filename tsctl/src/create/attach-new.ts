import type { ContainerStatus, Pod } from "@tessera/proto";
import { follow } from "../api/watch.ts";
import type { CommandContext } from "../command.ts";
import { attachCommand } from "../commands/attach.ts";

export interface Session {
  readonly pod: string;
  readonly namespace: string;
  readonly stdin: boolean;
  readonly tty: boolean;
  readonly quiet: boolean;
}

/** Waits until the pod's one container runs, then attaches; of one that has ended already, shows the log. Returns the exit code. */
export async function attachToNew({ namespace, ...session }: Session, context: CommandContext): Promise<number> {
  const status = await untilStarted(session.pod, namespace, context);
  const code = endOf(status) ?? (await attachUnlessEnded({ ...session, container: status?.name }, namespace, context));
  if (code.attached) return code.exitCode;
  const { api } = await context.cluster();
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(session.pod)}/log`;
  for await (const chunk of await api.open("GET", path, { accept: "*/*", signal: context.signal })) await context.out.write(chunk);
  return code.exitCode;
}

interface End {
  readonly attached: boolean;
  readonly exitCode: number;
}

function endOf(status: ContainerStatus | undefined): End | undefined {
  const ended = status?.state?.terminated ?? status?.lastState?.terminated;
  return ended && { attached: false, exitCode: ended.exitCode ?? 0 };
}

/** A container may end between being seen and being attached to. */
async function attachUnlessEnded(
  options: Omit<Session, "namespace"> & { container?: string },
  namespace: string,
  context: CommandContext,
): Promise<End> {
  try {
    return { attached: true, exitCode: await attachCommand.run(options, context) };
  } catch (error) {
    const end = endOf(await untilStarted(options.pod, namespace, context));
    if (end === undefined) throw error;
    return end;
  }
}

async function untilStarted(name: string, namespace: string, context: CommandContext): Promise<ContainerStatus | undefined> {
  const { api } = await context.cluster();
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
  const query = { fieldSelector: `metadata.name=${name}` };
  for await (const news of follow<Pod & { [field: string]: unknown }>(api, path, query, { signal: context.signal })) {
    const pod = news.type === "LISTED" ? news.items[0] : news.object;
    const status = pod?.status?.containerStatuses?.[0];
    if (pod === undefined || news.type === "DELETED") return undefined;
    const hasStarted = status?.state?.running ?? status?.state?.terminated ?? status?.lastState?.terminated;
    if (hasStarted !== undefined || pod.status?.phase === "Failed" || pod.status?.phase === "Succeeded") return status;
  }
  return undefined;
}
