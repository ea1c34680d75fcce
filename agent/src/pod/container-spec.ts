import { join } from "node:path";
import { initAnnotation, parseInitAnnotation, TesseraError } from "@tessera/proto";
import type { ContainerSpec, ProcessSpec } from "@tessera/runtime-native";
import type { LocalImage } from "../images/index.ts";
import type { NodeFacts } from "../node-facts.ts";
import type { ReferencedObjects } from "../objects/referenced-objects.ts";
import { containerCapabilities } from "../process/capabilities.ts";
import { podHostname } from "../process/dns.ts";
import { containerEnv } from "../process/env.ts";
import { expand } from "../process/expansion.ts";
import type { PodFacts } from "../process/fields.ts";
import { imageVolumePaths } from "../process/image-volumes.ts";
import { containerMounts, type GivenFile } from "../process/mounts.ts";
import { containerResources, oomScoreAdj } from "../process/resources.ts";
import { readSeccompProfile } from "../process/seccomp-file.ts";
import { annotatedLimits } from "../process/tuning.ts";
import type { ResolvedUser } from "../process/user.ts";
import type { PreparedVolume } from "../volumes/volume.ts";
import { attemptId } from "./record.ts";
import { logPath, type PodFolders } from "./store.ts";
import type { WantedContainer, WantedPod } from "./wanted.ts";

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface ProcessInputs {
  readonly want: WantedPod;
  readonly container: WantedContainer;
  readonly image: LocalImage;
  readonly user: ResolvedUser;
  readonly objects: Pick<ReferencedObjects, "get">;
  readonly facts: PodFacts;
  readonly node: NodeFacts;
}

export interface SpecInputs extends ProcessInputs {
  readonly attempt: number;
  readonly lower: readonly string[];
  readonly folders: PodFolders;
  readonly volumes: ReadonlyMap<string, PreparedVolume>;
  readonly given: readonly GivenFile[];
  /** The runtime's name for the container whose processes it is to see. */
  readonly target: string | undefined;
  readonly seccomp: ContainerSpec["seccomp"];
}

/** The folders of one attempt of a container. */
export function attemptFolders(folders: PodFolders, container: string, attempt: number) {
  const root = join(folders.containers, attemptId(container, attempt));
  return {
    root,
    upper: join(root, "upper"),
    work: join(root, "work"),
    terminationLog: join(root, "termination-log"),
    volumes: join(root, "volumes"),
  };
}

/** The folders of the volumes that the image declares: of one attempt, as nothing but the pod's own volumes outlives it. */
export function imageVolumes(image: LocalImage, paths: Pick<ReturnType<typeof attemptFolders>, "volumes">): GivenFile[] {
  return imageVolumePaths(image.config).map((destination, index) => ({ source: join(paths.volumes, String(index)), destination }));
}

/** A container as the runtime takes it. Throws TesseraError for whatever in the pod cannot be had; the message says what. */
export function buildContainerSpec(inputs: SpecInputs): ContainerSpec {
  const { want, container, attempt, lower, folders, node, volumes, given } = inputs;
  const { spec } = container;
  const pid = pidNamespace(want);
  const context = spec.securityContext ?? {};
  const privileged = context.privileged ?? false;
  const paths = attemptFolders(folders, container.name, attempt);
  const { upper, work } = paths;
  const variables = ownVariables(inputs);
  const capabilities = containerCapabilities(context);
  const { resources, ...annotated } = annotatedLimits(want.pod, spec);
  return {
    id: attemptId(container.name, attempt),
    process: processWith(variables, inputs),
    rootfs: { lower, upper, work, readOnly: context.readOnlyRootFilesystem ?? false },
    mounts: containerMounts({ container: spec, volumes, given, imageVolumes: imageVolumes(inputs.image, paths), variables }),
    capabilities,
    noNewPrivileges: !(privileged || context.allowPrivilegeEscalation === true || capabilities.includes("SYS_ADMIN")),
    privileged,
    seccomp: inputs.seccomp,
    resources: { ...containerResources(spec, { pod: want.pod, node }), ...resources },
    ...annotated,
    // Where processes are shared, those of all containers are seen anyway.
    pid: pid === "container" && inputs.target !== undefined ? { container: inputs.target } : pid,
    init: wantsInit(want, container.name),
    stdin: spec.stdin ?? false,
    log: { path: logPath(folders, container.name, attempt), maxBytes: node.logMaxBytes, maxFiles: node.logMaxFiles },
    oomScoreAdj: oomScoreAdj(want.pod, spec, node.memoryBytes),
  };
}

function wantsInit({ pod }: WantedPod, container: string): boolean {
  const choice = parseInitAnnotation(pod.metadata?.annotations?.[initAnnotation]);
  return choice === "all" || (choice !== "none" && choice.includes(container));
}

function pidNamespace({ pod }: WantedPod): ContainerSpec["pid"] {
  if (pod.spec?.hostPID) return "host";
  return pod.spec?.shareProcessNamespace ? "pod" : "container";
}

/** The container's first process; exec starts from it too. */
export function buildProcess(inputs: ProcessInputs): ProcessSpec {
  return processWith(ownVariables(inputs), inputs);
}

/** The variables that the pod gives the container. */
function ownVariables({ want, container, facts, objects }: ProcessInputs): ReadonlyMap<string, string> {
  return containerEnv({ pod: want.pod, container: container.spec, facts, objects }).values;
}

function processWith(variables: ReadonlyMap<string, string>, { want, container, image, user, node }: ProcessInputs): ProcessSpec {
  const { spec } = container;
  const lookUp = (name: string) => variables.get(name);
  const command = spec.command ?? [];
  const usesImage = command.length === 0;
  const start = usesImage ? image.config.entrypoint : command.map((part) => expand(part, lookUp));
  const given = (spec.args ?? []).map((part) => expand(part, lookUp));
  const argv = [...start, ...(given.length === 0 && usesImage ? image.config.cmd : given)];
  if (argv.length === 0) throw new TesseraError("Invalid", "no command: neither the pod nor the image says what to run");
  const cwd = spec.workingDir || image.config.workingDir || "/";
  if (!cwd.startsWith("/")) throw new TesseraError("Invalid", `workingDir "${cwd}" must be absolute`);
  return {
    argv,
    env: allVariables(image, variables, {
      PATH: DEFAULT_PATH,
      HOME: user.home,
      HOSTNAME: podHostname(want.pod, node.hostname),
      ...(spec.tty ? { TERM: "xterm" } : {}),
    }),
    cwd,
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    terminal: spec.tty ?? false,
  };
}

/** The image's variables, over defaults, under the pod's own. */
function allVariables(image: LocalImage, own: ReadonlyMap<string, string>, defaults: Readonly<Record<string, string>>): string[] {
  const all = new Map(Object.entries(defaults));
  for (const variable of image.config.env) {
    const cut = variable.indexOf("=");
    if (cut > 0) all.set(variable.slice(0, cut), variable.slice(cut + 1));
  }
  for (const [name, value] of own) all.set(name, value);
  return [...all].map(([name, value]) => `${name}=${value}`);
}

/** Throws TesseraError for a profile that the node does not have, or that is none. */
export async function seccompOf({
  want,
  container,
  node,
}: Pick<ProcessInputs, "want" | "container" | "node">): Promise<ContainerSpec["seccomp"]> {
  const context = container.spec.securityContext ?? {};
  if (context.privileged) return "Unconfined";
  const { type = "RuntimeDefault", localhostProfile = "" } = context.seccompProfile ?? want.pod.spec?.securityContext?.seccompProfile ?? {};
  if (type === "RuntimeDefault" || type === "Unconfined") return type;
  return await readSeccompProfile(node.seccompFolder, localhostProfile, containerCapabilities(context));
}
