import type { ContainerStatus, Event, Pod } from "@tessera/proto";
import { lastTime } from "../describe/events.ts";
import { formatAge } from "../print/age.ts";
import { type Exit, exitHint, exitOf } from "./exits.ts";
import type { Reference } from "./references.ts";

/** Something that the pod waits for. */
export interface Wait {
  readonly on: "scheduling" | "reference" | "image" | "init" | "container" | "backOff" | "probe" | "gate" | "node" | "deletion";
  /** "container main"; "pod" for all of it. */
  readonly subject: string;
  readonly text: string;
  /** One line each, such as what each node says. */
  readonly details: readonly string[];
  readonly hint?: string;
}

/** All of what `why` says. Fields are only ever added. */
export interface Story {
  readonly kind: "PodStory";
  readonly apiVersion: "tessera.dev/v1";
  readonly metadata: { readonly name: string; readonly namespace: string; readonly uid?: string };
  readonly phase: string;
  /** Why the pod as a whole failed, such as DeadlineExceeded. */
  readonly reason?: string;
  readonly message?: string;
  readonly nodeName?: string;
  readonly ready: boolean;
  readonly waits: readonly Wait[];
  readonly exits: readonly Exit[];
  readonly hints: readonly string[];
}

/** The answer of pods/scheduling. */
export interface Scheduling {
  readonly state: string;
  readonly message?: string;
  readonly nodes?: readonly { readonly name: string; readonly reasons: readonly string[] }[];
}

/** What is known of the pod. */
export interface Evidence {
  readonly pod: Pod;
  /** Undefined when the server cannot tell. */
  readonly scheduling: Scheduling | undefined;
  readonly events: readonly Event[];
  readonly missing: readonly Reference[];
  readonly now: number;
}

/** What waits for what, and how things ended. Pure: the log lines of the exits are for the caller to add. */
export function tellStory(evidence: Evidence): Story {
  const { pod, now } = evidence;
  const { name = "", namespace = "", uid } = pod.metadata ?? {};
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const exits = statuses.flatMap((status) => exitOf(status, pod.spec?.restartPolicy ?? "Always", now));
  const waits = waitsOf(evidence);
  const hints = [...waits.flatMap(({ hint }) => hint ?? []), ...exits.flatMap((exit) => exitHint(exit, name) ?? [])];
  return {
    kind: "PodStory",
    apiVersion: "tessera.dev/v1",
    metadata: { name, namespace, uid },
    phase: pod.metadata?.deletionTimestamp === undefined ? (pod.status?.phase ?? "Unknown") : "Terminating",
    reason: pod.status?.reason,
    message: pod.status?.message,
    nodeName: pod.spec?.nodeName,
    ready: conditionOf(pod, "Ready")?.status === "True",
    waits,
    exits,
    hints: [...new Set(hints)],
  };
}

const conditionOf = (pod: Pod, type: string) => pod.status?.conditions?.find((condition) => condition.type === type);

function waitsOf(evidence: Evidence): Wait[] {
  const { pod } = evidence;
  if (pod.metadata?.deletionTimestamp !== undefined) return [deletionWait(evidence)];
  if (pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed") return [];
  if (!pod.spec?.nodeName) return [schedulingWait(evidence)];
  return [...referenceWaits(evidence), ...nodeWaits(evidence), ...containerWaits(evidence), ...gateWaits(evidence)];
}

function deletionWait({ pod, now }: Evidence): Wait {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers = [], name } = pod.metadata ?? {};
  const left = Math.ceil((Date.parse(deletionTimestamp ?? "") - now) / 1000);
  const text = left > 0 ? `it was told to end and has ${left}s left of ${deletionGracePeriodSeconds}s` : "its grace period is over";
  const held = finalizers.length > 0;
  return {
    on: "deletion",
    subject: "pod",
    text: held ? `${text}; finalizers keep it: ${finalizers.join(", ")}` : text,
    details: [],
    hint: held ? "whoever set the finalizers must remove them" : left > 0 ? undefined : `"tsctl delete pod ${name} --force" asks no longer`,
  };
}

function schedulingWait({ pod, scheduling }: Evidence): Wait {
  const gates = (pod.spec?.schedulingGates ?? []).map(({ name }) => name);
  const wait = { on: "scheduling" as const, subject: "pod" };
  if (gates.length > 0)
    return {
      ...wait,
      text: `its scheduling gates hold it back: ${gates.join(", ")}`,
      details: [],
      hint: "whoever set the gates must remove them",
    };
  const nodes = scheduling?.nodes ?? [];
  const told = scheduling?.message ?? conditionOf(pod, "PodScheduled")?.message;
  if (told === undefined) {
    const scheduler = pod.spec?.schedulerName ?? "default-scheduler";
    return { ...wait, text: `the scheduler "${scheduler}" has not come to it yet`, details: [] };
  }
  const details = nodes.map((node) => `${node.name}: ${node.reasons.join(", ")}`);
  return { ...wait, text: told, details, hint: schedulingHint(nodes.flatMap(({ reasons }) => reasons)) };
}

function schedulingHint(reasons: readonly string[]): string {
  const has = (text: string) => reasons.find((reason) => reason.includes(text));
  const short = has("Insufficient");
  if (short !== undefined)
    return `it asks for more ${short.replace("Insufficient ", "")} than any fitting node has left; ask for less (resources.requests), or make room: "tsctl describe nodes"`;
  if (has("unschedulable") !== undefined) return 'a node takes no new pods: "tsctl uncordon NODE"';
  if (has("taint") !== undefined) return "nodes are tainted: tolerate the taint (tolerations), or take it away";
  if (has("pod anti-affinity") !== undefined)
    return "pods keep each other away (podAntiAffinity): add nodes, or prefer distance instead of requiring it";
  if (has("pod affinity") !== undefined)
    return 'no pod that it wants to be near is where it may go (podAffinity): "tsctl get pods -o wide --show-labels"';
  if (has("spread") !== undefined)
    return 'its domains would be uneven (topologySpreadConstraints): make room in the emptier ones, or allow more skew; "tsctl get nodes --show-labels"';
  if (has("affinity") !== undefined || has("selector") !== undefined)
    return 'no node has the labels that it wants (nodeSelector, affinity): "tsctl get nodes --show-labels"';
  return '"tsctl get nodes" shows whether there are any that are ready';
}

function referenceWaits({ pod, missing }: Evidence): Wait[] {
  return missing.map(({ kind, name, key, wantedBy }) => {
    const what = `${kind === "Secret" ? "secret" : "configmap"} "${name}"`;
    const make = kind === "Secret" ? "secret generic" : "configmap";
    const flags = `-n ${pod.metadata?.namespace} --from-literal=${key ?? "KEY"}=VALUE`;
    return {
      on: "reference",
      subject: wantedBy,
      text: key === undefined ? `${what} is missing` : `key "${key}" of ${what} is missing`,
      details: [],
      hint: `make it, and the pod goes on by itself: "tsctl create ${make} ${name} ${flags}"`,
    };
  });
}

function nodeWaits({ pod, events }: Evidence): Wait[] {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  if (statuses.length > 0) {
    const failed = events.findLast(
      (event) => event.type === "Warning" && ["FailedMount", "FailedCreatePodSandBox"].includes(event.reason ?? ""),
    );
    const isStarting = statuses.some(({ state }) => ["ContainerCreating", "PodInitializing"].includes(state?.waiting?.reason ?? ""));
    if (failed === undefined || !isStarting) return [];
    return [{ on: "node", subject: "pod", text: `${failed.reason}: ${failed.message}`, details: [] }];
  }
  const { nodeName } = pod.spec ?? {};
  const hint = `"tsctl get node ${nodeName}" shows whether the node is ready`;
  return [{ on: "node", subject: "pod", text: `node ${nodeName} has not said anything of it yet`, details: [], hint }];
}

function containerWaits(evidence: Evidence): Wait[] {
  const { pod } = evidence;
  const init = pod.status?.initContainerStatuses ?? [];
  const sidecars = new Set((pod.spec?.initContainers ?? []).filter((each) => each.restartPolicy === "Always").map(({ name }) => name));
  const isDone = (status: ContainerStatus) =>
    sidecars.has(status.name) ? status.started === true : status.state?.terminated?.exitCode === 0;
  const current = init.find((status) => !isDone(status));
  const sides = init.filter(({ name }) => sidecars.has(name));
  if (current === undefined) return [...sides, ...(pod.status?.containerStatuses ?? [])].flatMap((status) => waitOf(status, evidence));
  const names = (pod.spec?.containers ?? []).map(({ name }) => name).join(", ");
  const place = `${init.indexOf(current) + 1} of ${init.length}`;
  const runs = current.state?.running === undefined ? "" : `, which runs since ${formatAge(current.state.running.startedAt, evidence.now)}`;
  return [
    { on: "init", subject: `container ${names}`, text: `waits for init container ${current.name} (${place})${runs}`, details: [] },
    ...waitOf(current, evidence),
  ];
}

const imageReasons = ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"];

function waitOf(status: ContainerStatus, { pod, events, missing, now }: Evidence): Wait[] {
  const subject = `container ${status.name}`;
  const { waiting, running } = status.state ?? {};
  const { reason = "", message = "" } = waiting ?? {};
  if (imageReasons.includes(reason)) {
    const hint = `is the name right, and may the node pull it? A file with it: "tsctl image load FILE"`;
    return [{ on: "image", subject, text: `${reason}: ${message || status.image}`, details: [], hint }];
  }
  if (reason === "CrashLoopBackOff") return [{ on: "backOff", subject, text: backOffText(status, message, now), details: [] }];
  if (waiting !== undefined) {
    // What is missing has been said already.
    if (reason === "PodInitializing" || (missing.length > 0 && ["ContainerCreating", "CreateContainerConfigError"].includes(reason)))
      return [];
    return [{ on: "container", subject, text: message === "" ? reason : `${reason}: ${message}`, details: [] }];
  }
  if (running === undefined || status.ready === true) return [];
  const unhealthy = events.findLast(
    (event) => event.reason === "Unhealthy" && event.involvedObject?.fieldPath?.includes(`{${status.name}}`),
  );
  const container = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].find(({ name }) => name === status.name);
  const probe = status.started === false && container?.startupProbe !== undefined ? "startup" : "readiness";
  const hasProbe = container?.startupProbe !== undefined || container?.readinessProbe !== undefined;
  if (!hasProbe) return [];
  const said = unhealthy === undefined ? "" : `: ${unhealthy.message} (${formatAge(lastTime(unhealthy), now)} ago)`;
  const hint = `it runs, but its ${probe} probe does not succeed: look at "tsctl logs ${pod.metadata?.name} -c ${status.name}"`;
  return [{ on: "probe", subject, text: `waits for its ${probe} probe${said}`, details: [], hint }];
}

/** "back-off 40s restarting ...", from the end of the last run on. */
function backOffText(status: ContainerStatus, message: string, now: number): string {
  const [, minutes = "0", seconds = "0"] = /back-off (?:(\d+)m)?(?:(\d+)s)?/.exec(message) ?? [];
  const backOffMs = (Number(minutes) * 60 + Number(seconds)) * 1000;
  const next = Date.parse(status.lastState?.terminated?.finishedAt ?? "") + backOffMs - now;
  const when = Number.isNaN(next) || backOffMs === 0 ? "soon" : next <= 0 ? "now" : `in ${Math.ceil(next / 1000)}s`;
  return `CrashLoopBackOff: ended ${(status.restartCount ?? 0) + 1} times, next try ${when} (back-off ${backOffMs / 1000}s)`;
}

function gateWaits({ pod }: Evidence): Wait[] {
  const ready = conditionOf(pod, "Ready");
  if (ready?.reason !== "ReadinessGatesNotReady") return [];
  return [{ on: "gate", subject: "pod", text: ready.message ?? "its readiness gates are not all true", details: [] }];
}
