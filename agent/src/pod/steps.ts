import { readFileSync } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { TesseraError } from "@tessera/proto";
import { RuntimeError } from "@tessera/runtime-native";
import { type LocalImage, parseReference } from "../images/index.ts";
import { runHook } from "../probes/hook.ts";
import type { ActionTarget } from "../probes/probe.ts";
import { podHostname, podHosts, podResolvConf } from "../process/dns.ts";
import { containerEnv } from "../process/env.ts";
import type { PodFacts } from "../process/fields.ts";
import type { GivenFile } from "../process/mounts.ts";
import { podResources } from "../process/resources.ts";
import { SIGKILL, SIGTERM, signalNumber } from "../process/signals.ts";
import { podSysctls } from "../process/sysctls.ts";
import { type ImageAccounts, type ResolvedUser, resolveUser } from "../process/user.ts";
import { attemptFolders, buildContainerSpec, imageVolumes, seccompOf } from "./container-spec.ts";
import type { PodDependencies, PodEvent } from "./dependencies.ts";
import { acquireImage } from "./image.ts";
import { EventReason, Terminated, Waiting } from "./reasons.ts";
import { type Acquisition, attemptId } from "./record.ts";
import type { PodState } from "./state.ts";
import type { PodStep, StepOf } from "./step.ts";
import { failingAs, StepError } from "./step-error.ts";
import { isErrno, type PodFolders, type RecordFile } from "./store.ts";
import { allContainers, fieldPathOf, findContainer, type WantedContainer, type WantedPod } from "./wanted.ts";

/** What a step works with. `want` is the newest wanted pod at the time the step starts. */
export interface StepContext extends PodDependencies {
  readonly want: WantedPod;
  readonly state: PodState;
  readonly folders: PodFolders;
  readonly file: RecordFile;
  readonly emit: (event: PodEvent) => void;
  /** How probes and hooks reach a running container. */
  readonly target: (container: WantedContainer) => ActionTarget;
}

/** A step without executor does not compile. */
type Executors = { [K in PodStep["do"]]: (step: StepOf<K>, context: StepContext, signal: AbortSignal) => Promise<void> };

/**
 * What each step that acquires something owes. It is in the record before the step begins, and stays there until the undo is done: each
 * undo below is right when the step never ran, half ran, or ran twice.
 */
const OWES: Partial<Record<PodStep["do"], Acquisition>> = {
  allocateAddress: "address",
  createNetns: "netns",
  openHostPorts: "hostPorts",
  mountVolume: "volumes",
  createSandbox: "sandbox",
};

/** Writes down what the step will owe, then does it. */
export async function runStep<K extends PodStep["do"]>(step: StepOf<K>, context: StepContext, signal: AbortSignal): Promise<void> {
  const { state, file, failpoint } = context;
  failpoint?.(`${step.do}:before`);
  const owes = OWES[step.do];
  if (owes !== undefined && !state.record.begun.includes(owes)) {
    state.record.begun.push(owes);
    await file.save();
  }
  failpoint?.(`${step.do}:begun`);
  // The table's entry for `do` takes this very step; TypeScript cannot follow the correlation through the index.
  await (EXECUTORS[step.do] as (step: PodStep, context: StepContext, signal: AbortSignal) => Promise<void>)(step, context, signal);
  failpoint?.(`${step.do}:done`);
}

const EXECUTORS: Executors = {
  async makeFolders(_step, { want, state, folders, file, failpoint }) {
    // One write for all that the pod's start will owe, so that the steps after this one need not wait for the disk again.
    const owed: Acquisition[] = want.hostNetwork ? ["sandbox"] : ["address", "netns", "sandbox"];
    if (want.volumes.length > 0) owed.push("volumes");
    if (want.hostPorts.length > 0) owed.push("hostPorts");
    state.record.begun = [...new Set([...state.record.begun, ...owed])];
    state.enterContainers(want, SIGTERM);
    state.folders = "unclear";
    await file.create();
    failpoint?.("makeFolders:recorded");
    const logs = allContainers(want).map((container) => join(folders.logs, container.name));
    await Promise.all([
      makeFolder(folders.etc),
      makeFolder(folders.containers),
      makeFolder(folders.logs).then(() => Promise.all(logs.map(makeFolder))),
    ]);
    state.folders = "there";
  },

  async allocateAddress(_step, { want, state, addresses }) {
    state.address = await addresses.allocate(want.uid);
    state.record.address = state.address;
  },

  async createNetns(_step, { want, state, network }) {
    if (state.address === undefined) throw new TesseraError("InternalError", "a network namespace was asked for before an address");
    state.netns = "unclear";
    const { path } = await network.createPodNetns({ id: want.uid, address: state.address, hasHostPorts: want.hostPorts.length > 0 });
    state.netnsPath = path;
    state.netns = "there";
  },

  async openHostPorts(_step, { want, state, network }) {
    if (state.address === undefined) throw new TesseraError("InternalError", "host ports were asked for before an address");
    state.hostPorts = "unclear";
    await network.openHostPorts({ id: want.uid, address: state.address, ports: want.hostPorts });
    state.hostPorts = "there";
  },

  async mountVolume({ volume: name }, context) {
    const { want, state, folders, volumes } = context;
    const volume = want.pod.spec?.volumes?.find((one) => one.name === name);
    if (volume === undefined) throw new TesseraError("InternalError", `the pod has no volume "${name}"`);
    state.noteVolumeRead(name);
    const prepared = await volumes.setUp({ pod: want.pod, volume, folder: folders.volumes, facts: podFacts(context) });
    state.noteVolumeReady(name, prepared);
  },

  async createSandbox(_step, context, signal) {
    const { want, state, runtime, node } = context;
    const { pod } = want;
    if (pod.spec?.hostUsers === false) throw new TesseraError("Invalid", "spec.hostUsers: user namespaces are not supported yet");
    const sysctls = podSysctls(pod);
    state.sandbox = "unclear";
    const [sandbox] = await Promise.all([
      runtime.createSandbox(
        {
          id: want.uid,
          hostname: podHostname(pod, node.hostname),
          network: want.hostNetwork ? { kind: "host" } : { kind: "netns", path: state.netnsPath },
          hostIpc: pod.spec?.hostIPC ?? false,
          sharePids: pod.spec?.shareProcessNamespace ?? false,
          cgroup: `pod${want.uid}`,
          resources: podResources(pod, node.podPidsLimit),
          sysctls,
        },
        signal,
      ),
      writeEtcFiles(context),
    ]);
    context.log.debug({ pod: want.uid, shim: sandbox.pid }, "sandbox created");
    state.sandbox = "there";
  },

  async prepareContainer({ container: name, attempt }, context, signal) {
    const { want, state, folders, images } = context;
    const container = wantedContainer(want, name);
    const paths = attemptFolders(folders, name, attempt);
    if (container.kind === "ephemeral") await failingAs(Waiting.createError, () => enterLater(name, context));
    const folderWork = [
      failingAs(Waiting.createError, () => makeAttemptFolders(paths, context)),
      failingAs(Waiting.createError, () => removeOldLogs(join(folders.logs, name), attempt)),
    ];
    const imageWork = acquireImage(container, context, signal).catch(async (error: unknown) => {
      // The next try makes the folders anew: this one must be done with them.
      await Promise.allSettled(folderWork);
      throw error;
    });
    const [image] = await Promise.all([imageWork, ...folderWork]);
    await failingAs(Waiting.createError, () => makeImageVolumes(image, paths));
    const lower = await failingAs(Waiting.createError, () => images.prepareRootfs(image));
    const user = await failingAs(Waiting.configError, async () =>
      containerUser(want, container, image, await context.accounts.read(lower)),
    );
    state.prepared.set(name, { attempt, image, lower, user });
  },

  async startContainer({ container: name, attempt }, context, signal) {
    const { want, state, folders, runtime, file, objects, node, emit, clock, failpoint } = context;
    const container = wantedContainer(want, name);
    const prepared = state.prepared.get(name);
    if (prepared === undefined) throw new TesseraError("InternalError", `container "${name}" was to start before it was prepared`);
    const { image, lower, user } = prepared;
    const given = givenFiles(container, context, attempt);
    const facts = podFacts(context);
    const spec = await failingAs(Waiting.configError, async () =>
      buildContainerSpec({
        want,
        container,
        attempt,
        image,
        lower,
        user,
        folders,
        volumes: state.preparedVolumes,
        objects,
        facts,
        node,
        given,
        target: container.target && attemptId(container.target, state.container(container.target).attempt),
        seccomp: await seccompOf({ want, container, node }),
      }),
    );
    const isNew = attempt !== state.container(name).attempt;
    state.beginAttempt(name, attempt, container.image);
    const remembered = state.container(name);
    remembered.imageId = imageIdOf(image, container.image);
    remembered.imageName = image.names[0] ?? container.image;
    remembered.user = { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids };
    remembered.stopSignal = signalNumber(container.spec.lifecycle?.stopSignal ?? image.config.stopSignal);
    // The first attempt is in the record since the pod's first write, or since the container was prepared.
    if (isNew) await file.save();
    failpoint?.("startContainer:recorded");
    const fieldPath = fieldPathOf(container);
    try {
      const running = await runtime.startContainer(want.uid, spec, signal);
      state.noteStarted(name, running.startedAtMs);
      tellSkippedVariables(container, context);
      state.prepared.set(name, { ...prepared, process: spec.process });
    } catch (error) {
      if (!isStartError(error)) {
        state.noteUnclear(name);
        throw new StepError(isConfigError(error) ? Waiting.configError : Waiting.createError, messageOf(error), { cause: error });
      }
      const at = clock.now();
      state.noteExited(name, startErrorExit(attempt, messageOf(error), at));
      emit({ type: "Warning", reason: EventReason.failed, message: `Error: ${messageOf(error)}`, fieldPath });
      return;
    }
    emit({ type: "Normal", reason: EventReason.created, message: `Created container: ${name}`, fieldPath });
    emit({ type: "Normal", reason: EventReason.started, message: `Started container ${name}`, fieldPath });
  },

  async runPostStart({ container: name, attempt }, context, signal) {
    const { want, state, emit, file } = context;
    const container = wantedContainer(want, name);
    const failure = await hookFailure(container, "postStart", context, signal);
    if (failure === undefined) {
      state.notePostStart(name, attempt, "done");
      await file.save();
    } else if (state.isRunning(name)) {
      const message = `PostStartHook failed: ${failure}`;
      emit({ type: "Warning", reason: EventReason.failedPostStart, message, fieldPath: fieldPathOf(container) });
      state.notePostStart(name, attempt, "failed");
    }
  },

  async runPreStop({ container: name, attempt, tell }, context, signal) {
    const { want, state, emit, clock } = context;
    const container = wantedContainer(want, name);
    const fieldPath = fieldPathOf(container);
    if (state.noteStopping(name, clock.now())) emit({ type: "Normal", reason: EventReason.killing, message: tell, fieldPath });
    const failure = await hookFailure(container, "preStop", context, signal);
    if (failure !== undefined && state.isRunning(name)) {
      emit({ type: "Warning", reason: EventReason.failedPreStop, message: `PreStopHook failed: ${failure}`, fieldPath });
    }
    state.notePreStop(name, attempt);
  },

  async signalContainer({ container: name, attempt, signal: kind, tell }, { want, state, runtime, clock, emit }) {
    if (state.noteStopping(name, clock.now())) {
      const container = wantedContainer(want, name);
      emit({ type: "Normal", reason: EventReason.killing, message: tell, fieldPath: fieldPathOf(container) });
    }
    const number = kind === "kill" ? SIGKILL : state.container(name).stopSignal;
    await runtime.signalContainer(want.uid, attemptId(name, attempt), number);
    state.noteSignalled(name, kind, clock.now());
  },

  async pauseContainer({ container: name, attempt }, { want, state, runtime, emit }) {
    await runtime.pauseContainer(want.uid, attemptId(name, attempt));
    state.notePaused(name, true);
    emit({
      type: "Normal",
      reason: EventReason.paused,
      message: `Paused container ${name}`,
      fieldPath: fieldPathOf(wantedContainer(want, name)),
    });
  },

  async resumeContainer({ container: name, attempt }, { want, state, runtime, emit }) {
    await runtime.resumeContainer(want.uid, attemptId(name, attempt));
    state.notePaused(name, false);
    emit({
      type: "Normal",
      reason: EventReason.resumed,
      message: `Resumed container ${name}`,
      fieldPath: fieldPathOf(wantedContainer(want, name)),
    });
  },

  async forgetContainer({ container: name, attempt }, { want, state, folders, runtime, hostFiles }) {
    await runtime.removeContainer(want.uid, attemptId(name, attempt));
    await hostFiles.removeTree(attemptFolders(folders, name, attempt).root);
    state.noteForgotten(name);
  },

  async removeSandbox(_step, { want, state, runtime, clock }) {
    await runtime.removeSandbox(want.uid);
    state.noteSandboxRemoved(clock.now());
  },

  async closeHostPorts(_step, { want, state, network }) {
    await network.closeHostPorts(want.uid, state.address);
    state.hostPorts = "none";
    state.noteReleased("hostPorts");
  },

  async releaseNetns(_step, { want, state, network }) {
    await network.releaseNetns(want.uid);
    state.netns = "none";
    state.netnsPath = "";
    state.noteReleased("netns");
  },

  async releaseAddress(_step, { want, state, addresses }) {
    await addresses.release(want.uid);
    state.address = undefined;
    state.noteReleased("address");
  },

  async unmountVolumes(_step, { state, folders, volumes }) {
    await volumes.tearDown(folders.volumes);
    state.noteVolumesRemoved();
  },

  async removeFolders(_step, { state, folders, file, hostFiles, failpoint }) {
    await file.close();
    failpoint?.("removeFolders:closed");
    await hostFiles.removeTree(folders.root);
    state.folders = "none";
  },
};

/** Keys of envFrom that the container does without are found out from an Event, or late. */
function tellSkippedVariables(container: WantedContainer, context: StepContext): void {
  const { want, objects, emit } = context;
  const { skipped } = containerEnv({ pod: want.pod, container: container.spec, facts: podFacts(context), objects });
  if (skipped.length === 0) return;
  const message = `Left out of the environment, as they can be no names of variables: ${skipped.join(", ")}`;
  emit({ type: "Warning", reason: EventReason.invalidEnvironment, message, fieldPath: fieldPathOf(container) });
}

/** What went wrong with a hook. One that was ended from outside throws the reason of that. */
async function hookFailure(
  { spec, ...container }: WantedContainer,
  hook: "postStart" | "preStop",
  { target, clock }: StepContext,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    await runHook(spec.lifecycle?.[hook] ?? {}, target({ spec, ...container }), clock, signal);
    return undefined;
  } catch (error) {
    if (signal.aborted) throw error;
    return messageOf(error);
  }
}

/** The pod's record and folders were made before the container came to it. */
async function enterLater(name: string, { want, state, folders, file }: StepContext): Promise<void> {
  if (!state.hasEntered(name)) {
    state.enterContainers(want, SIGTERM);
    await file.save();
  }
  await makeFolder(join(folders.logs, name));
}

/** An image may have come from several places: it is told under the name that the pod gives it. */
function imageIdOf({ digests, id }: LocalImage, name: string): string {
  if (name.startsWith("sha256:")) return digests[0] ?? id;
  const { domain, path } = parseReference(name);
  return digests.find((digest) => digest.startsWith(`${domain}/${path}@`)) ?? digests[0] ?? id;
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
    if (!isErrno(error, "EEXIST")) throw error;
  });
}

/** Who the container runs as. */
export function containerUser(want: WantedPod, container: WantedContainer, image: LocalImage, accounts: ImageAccounts): ResolvedUser {
  const { securityContext = {} } = want.pod.spec ?? {};
  return resolveUser({ pod: securityContext, container: container.spec.securityContext ?? {}, imageUser: image.config.user, accounts });
}

function wantedContainer(want: WantedPod, name: string): WantedContainer {
  const container = findContainer(want, name);
  if (container === undefined) throw new TesseraError("InternalError", `the pod has no container "${name}"`);
  return container;
}

async function makeAttemptFolders(paths: ReturnType<typeof attemptFolders>, { hostFiles }: StepContext): Promise<void> {
  const make = () =>
    hostFiles.makeFolder(paths.root, 0o700, {
      // Its mode and owner are what the container sees as its root.
      [basename(paths.upper)]: { type: "folder", mode: 0o755 },
      [basename(paths.work)]: { type: "folder", mode: 0o700 },
      // Whoever the container runs as may leave its last words.
      [basename(paths.terminationLog)]: { type: "file", mode: 0o666 },
    });
  try {
    await make();
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.reason !== "AlreadyExists") throw error;
    // From a start that a crash or an error cut short: what is in it cannot be trusted.
    await hostFiles.removeTree(paths.root);
    await make();
  }
}

async function makeImageVolumes(image: LocalImage, paths: ReturnType<typeof attemptFolders>): Promise<void> {
  const volumes = imageVolumes(image, paths);
  if (volumes.length === 0) return;
  await mkdir(paths.volumes, { mode: 0o700 });
  await Promise.all(volumes.map(({ source }) => mkdir(source, { mode: 0o755 })));
}

/** The logs of this attempt and of the one before it are kept. */
async function removeOldLogs(folder: string, attempt: number): Promise<void> {
  if (attempt < 2) return;
  for (const name of await readdir(folder)) {
    if (Number.parseInt(name, 10) < attempt - 1) await rm(join(folder, name), { force: true });
  }
}

async function writeEtcFiles({ want, state, folders, node }: StepContext): Promise<void> {
  const nodeHosts = want.hostNetwork ? readNodeFile("/etc/hosts") : "";
  const nodeResolvConf = readNodeFile("/etc/resolv.conf");
  const hostname = podHostname(want.pod, node.hostname);
  const addresses = state.address === undefined ? [] : [state.address];
  const write = (name: string, text: string) => writeFile(join(folders.etc, name), text, { mode: 0o644 });
  await Promise.all([
    write("hosts", podHosts(want.pod, { addresses, nodeHosts })),
    write("hostname", `${hostname}\n`),
    write("resolv.conf", podResolvConf(want.pod, nodeResolvConf)),
  ]);
}

/** Small, read for every pod and always in the page cache: not worth four trips to a thread each. */
function readNodeFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // A node without the file gives its pods an empty one.
    return "";
  }
}

function givenFiles(container: WantedContainer, { folders }: StepContext, attempt: number): GivenFile[] {
  const etc = ["hosts", "hostname", "resolv.conf"].map((name) => ({ source: join(folders.etc, name), destination: `/etc/${name}` }));
  const destination = container.spec.terminationMessagePath ?? "/dev/termination-log";
  return [...etc, { source: attemptFolders(folders, container.name, attempt).terminationLog, destination }];
}

export function podFacts({ want, state, node }: Pick<StepContext, "want" | "state" | "node">): PodFacts {
  const podAddresses = want.hostNetwork ? node.addresses : state.address === undefined ? [] : [state.address];
  return { hostAddresses: node.addresses, podAddresses, nodeCpuMillis: node.cpuMillis, nodeMemoryBytes: node.memoryBytes };
}

/** Kubernetes' exit code for a container that could not be started at all. */
const START_ERROR_EXIT_CODE = 128;

function startErrorExit(attempt: number, message: string, atMs: number) {
  return {
    attempt,
    exitCode: START_ERROR_EXIT_CODE,
    signal: 0,
    reason: Terminated.startError,
    message,
    startedAtMs: 0,
    finishedAtMs: atMs,
  };
}

/** A fault of the container itself, as opposed to one of the sandbox or the agent: it counts as an attempt. */
function isStartError(error: unknown): boolean {
  if (!(error instanceof RuntimeError) || isConfigError(error)) return false;
  return error.reason !== "NotFound" && error.reason !== "AlreadyExists" && error.reason !== "Cancelled";
}

/**
 * Steps whose failure may be put right where its cause lies, in a volume or in a file of the node: as in Kubernetes the container waits for that.
 */
const CONFIG_STEPS: readonly string[] = ["open subPath", "compile seccomp profile"];

function isConfigError(error: unknown): boolean {
  return error instanceof RuntimeError && CONFIG_STEPS.includes(error.step);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
