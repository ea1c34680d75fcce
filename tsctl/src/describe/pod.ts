import type { Container, ContainerState, ContainerStatus, Pod, Probe, Volume } from "@tessera/proto";
import { formatAge } from "../print/age.ts";
import { describeMetadata, describePairs } from "./metadata.ts";
import { type Line, line, maybeLine, section } from "./writer.ts";

/** What a person wants to know of a pod, above its events. */
export function describePod(pod: Pod, now: number): Line[] {
  const { spec, status } = pod;
  return [
    ...describeMetadata(pod.metadata, true),
    line("Node", spec?.nodeName ? `${spec.nodeName}${status?.hostIP ? ` (${status.hostIP})` : ""}` : undefined),
    line("Status", describePhase(pod, now)),
    ...maybeLine("Reason", status?.reason),
    ...maybeLine("Message", status?.message),
    line("IP", status?.podIP),
    ...maybeLine("Started", status?.startTime),
    line("Service Account", spec?.serviceAccountName),
    line("Restart Policy", spec?.restartPolicy),
    line("QoS Class", status?.qosClass),
    ...(spec?.initContainers === undefined || spec.initContainers.length === 0
      ? []
      : [
          section(
            "Init Containers",
            spec.initContainers.map((container) => describeContainer(container, status?.initContainerStatuses, now)),
          ),
        ]),
    section(
      "Containers",
      (spec?.containers ?? []).map((container) => describeContainer(container, status?.containerStatuses, now)),
    ),
    ...(spec?.ephemeralContainers === undefined || spec.ephemeralContainers.length === 0
      ? []
      : [
          section(
            "Ephemeral Containers",
            spec.ephemeralContainers.map((container) => describeContainer(container, status?.ephemeralContainerStatuses, now)),
          ),
        ]),
    describeConditions(pod, now),
    section("Volumes", (spec?.volumes ?? []).map(describeVolume)),
    ...maybeLine("Node Selector", describePairs(spec?.nodeSelector)),
    ...maybeLine(
      "Tolerations",
      (spec?.tolerations ?? []).map((toleration) => {
        const seconds = toleration.tolerationSeconds === undefined ? "" : ` for ${toleration.tolerationSeconds}s`;
        return `${toleration.key ?? ""}${toleration.effect ? `:${toleration.effect}` : ""}${toleration.operator ? ` op=${toleration.operator}` : ""}${seconds}`;
      }),
    ),
  ];
}

function describePhase(pod: Pod, now: number): string {
  if (pod.metadata?.deletionTimestamp === undefined) return pod.status?.phase ?? "Unknown";
  const grace = pod.metadata.deletionGracePeriodSeconds ?? 0;
  return `Terminating (lasts ${formatAge(pod.metadata.deletionTimestamp, now)}; grace period ${grace}s)`;
}

function describeContainer(container: Container, statuses: readonly ContainerStatus[] | undefined, now: number): Line {
  const status = statuses?.find((each) => each.name === container.name);
  return section(container.name ?? "", [
    line("Image", container.image),
    ...maybeLine("Image ID", status?.imageID),
    ...maybeLine("Container ID", status?.containerID),
    ...maybeLine(
      "Ports",
      (container.ports ?? []).map((port) => `${port.containerPort}/${port.protocol ?? "TCP"}${port.name ? ` (${port.name})` : ""}`),
    ),
    ...maybeLine("Command", container.command),
    ...maybeLine("Args", container.args),
    line("State", describeState(status?.state, now)),
    ...(status?.lastState?.terminated === undefined ? [] : [line("Last State", describeState(status.lastState, now))]),
    line("Ready", String(status?.ready ?? false)),
    line("Restart Count", String(status?.restartCount ?? 0)),
    ...maybeLine("Limits", describePairs(container.resources?.limits)),
    ...maybeLine("Requests", describePairs(container.resources?.requests)),
    ...maybeLine("Liveness", describeProbe(container.livenessProbe)),
    ...maybeLine("Readiness", describeProbe(container.readinessProbe)),
    ...maybeLine("Startup", describeProbe(container.startupProbe)),
    ...maybeLine(
      "Environment From",
      (container.envFrom ?? []).map((from) => `${from.prefix ?? ""}${describeEnvSource(from)}`),
    ),
    ...maybeLine(
      "Environment",
      (container.env ?? []).map((variable) => `${variable.name}: ${variable.value ?? describeVariableSource(variable.valueFrom)}`),
    ),
    ...maybeLine(
      "Mounts",
      (container.volumeMounts ?? []).map((mount) => {
        const flags = [mount.readOnly === true ? "ro" : "rw", ...(mount.subPath ? [`path="${mount.subPath}"`] : [])];
        return `${mount.mountPath} from ${mount.name} (${flags.join(",")})`;
      }),
    ),
  ]);
}

function describeState(state: ContainerState | undefined, now: number): string[] {
  if (state?.running !== undefined) return [`Running since ${state.running.startedAt} (${formatAge(state.running.startedAt, now)})`];
  if (state?.terminated !== undefined) {
    const { reason, exitCode, signal, message, startedAt, finishedAt } = state.terminated;
    return [
      `Terminated: ${reason ?? ""}, exit code ${exitCode ?? 0}${signal ? `, signal ${signal}` : ""}`,
      ...(startedAt ? [`from ${startedAt} to ${finishedAt ?? ""}`] : []),
      ...(message ? [message.trimEnd()] : []),
    ];
  }
  const waiting = state?.waiting;
  return [`Waiting${waiting?.reason ? `: ${waiting.reason}` : ""}`, ...(waiting?.message ? [waiting.message] : [])];
}

function describeProbe(probe: Probe | undefined): string | undefined {
  if (probe === undefined) return undefined;
  const { periodSeconds = 10, timeoutSeconds = 1, failureThreshold = 3, initialDelaySeconds = 0 } = probe;
  return `${describeProbeAction(probe)} delay=${initialDelaySeconds}s timeout=${timeoutSeconds}s period=${periodSeconds}s failures=${failureThreshold}`;
}

function describeProbeAction({ exec, httpGet, tcpSocket, grpc }: Probe): string {
  if (exec !== undefined) return `exec [${(exec.command ?? []).join(" ")}]`;
  if (httpGet !== undefined)
    return `http-get ${(httpGet.scheme ?? "HTTP").toLowerCase()}://${httpGet.host ?? ""}:${httpGet.port}${httpGet.path ?? ""}`;
  if (tcpSocket !== undefined) return `tcp-socket ${tcpSocket.host ?? ""}:${tcpSocket.port}`;
  return `grpc :${grpc?.port}`;
}

type EnvSource = NonNullable<Container["envFrom"]>[number];
type VariableSource = NonNullable<NonNullable<Container["env"]>[number]["valueFrom"]>;

function describeEnvSource(source: EnvSource): string {
  if (source.configMapRef !== undefined) return `all of config map ${source.configMapRef.name}`;
  return `all of secret ${source.secretRef?.name}`;
}

/** Where a value comes from; the value of a secret is nobody's business here. */
function describeVariableSource(source: VariableSource | undefined): string {
  if (source?.configMapKeyRef !== undefined) return `<key ${source.configMapKeyRef.key} of config map ${source.configMapKeyRef.name}>`;
  if (source?.secretKeyRef !== undefined) return `<key ${source.secretKeyRef.key} of secret ${source.secretKeyRef.name}>`;
  if (source?.fieldRef !== undefined) return `<field ${source.fieldRef.fieldPath}>`;
  if (source?.resourceFieldRef !== undefined) return `<resource ${source.resourceFieldRef.resource}>`;
  return "";
}

function describeConditions(pod: Pod, now: number): Line {
  const rows = (pod.status?.conditions ?? []).map((condition) => [
    condition.type ?? "",
    condition.status ?? "",
    formatAge(condition.lastTransitionTime, now),
    condition.reason ?? "",
    condition.message ?? "",
  ]);
  return { name: "Conditions", table: rows.length === 0 ? [] : [["TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"], ...rows] };
}

function describeVolume(volume: Volume): Line {
  const { name = "", ...sources } = volume;
  const [kind, source] = Object.entries(sources).find(([, value]) => value !== undefined) ?? ["", {}];
  const details = Object.entries((source ?? {}) as Record<string, unknown>).filter(([, value]) => value !== undefined);
  const described = details.map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`).join(" ");
  return line(name, `${kind} ${described}`.trim());
}
