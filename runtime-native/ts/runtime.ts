/**
 * What an agent needs of a container runtime. The agent's pod worker knows this interface and nothing
 * below it; `NativeRuntime` implements it with the kernel, a fake implements it for hollow nodes.
 *
 * Everything here is plain validated data. No method waits for a container to end: exits arrive as events.
 */

/** The namespaces of one pod and the shim that holds them. */
export interface SandboxSpec {
  /** The pod's uid: unique on the node, and the name of everything the runtime makes for the pod. */
  readonly id: string;
  readonly hostname: string;
  /** Which network namespace the pod lives in: a prepared one by path, or the node's own. */
  readonly network: { readonly kind: "netns"; readonly path: string } | { readonly kind: "host" };
  /** Join the node's IPC namespace instead of having one. */
  readonly hostIpc: boolean;
  /** Make a PID namespace that containers can share, with a first process of its own that reaps. When that ends, the sandbox is lost. */
  readonly sharePids: boolean;
  /** cgroup of the pod, relative to the runtime's cgroup root: "pod<uid>". Containers get children of it. */
  readonly cgroup: string;
  /** Limits of the pod as a whole; usually empty. */
  readonly resources: Resources;
  /** Namespaced sysctls, already validated: name to value. */
  readonly sysctls: Readonly<Record<string, string>>;
}

/** Limits as the kernel takes them; an absent one is not set. */
export interface Resources {
  /** cgroup v1 cpu.shares (2 to 262144); converted to cpu.weight on v2. */
  readonly cpuShares?: number;
  /** Microseconds of CPU time per period. */
  readonly cpuQuotaUs?: number;
  /** Microseconds; 100000 unless given. */
  readonly cpuPeriodUs?: number;
  /** CPUs that the processes may run on, as the kernel lists them: "0-2,5". */
  readonly cpusetCpus?: string;
  /** Memory nodes that their memory may come from. */
  readonly cpusetMems?: string;
  readonly memoryLimitBytes?: number;
  /**
   * Swap that may be used besides. Absent: none where memory is limited. cgroup v1 knows it only together with a memory limit; on a kernel that
   * does not count swap anything but 0 is refused.
   */
  readonly swapLimitBytes?: number;
  readonly pidsLimit?: number;
  /** Share of the disks' time against others, 10 to 1000 (cgroup v1 blkio.weight). Refused where no I/O scheduler has weights. */
  readonly ioWeight?: number;
  readonly ioLimits?: readonly IoLimit[];
  /** A limit for each size of huge pages; of a size that is not named, as many as there are. */
  readonly hugepageLimits?: readonly HugepageLimit[];
}

/** What may be asked of one block device per second; an absent one is not limited. Buffered writes count on cgroup v2 only. */
export interface IoLimit {
  /** Numbers of the whole device, not of a partition. */
  readonly major: number;
  readonly minor: number;
  readonly readBytes?: number;
  readonly writeBytes?: number;
  readonly readOperations?: number;
  readonly writeOperations?: number;
}

export interface HugepageLimit {
  readonly pageBytes: number;
  readonly limitBytes: number;
}

/** The names of setrlimit(2) without "RLIMIT_", by number (asm-generic/resource.h). */
export const rlimitNames = [
  "cpu",
  "fsize",
  "data",
  "stack",
  "core",
  "rss",
  "nproc",
  "nofile",
  "memlock",
  "as",
  "locks",
  "sigpending",
  "msgqueue",
  "nice",
  "rtprio",
  "rttime",
] as const;

export type RlimitName = (typeof rlimitNames)[number];

/** A limit of each process of a container; undefined: unlimited. */
export interface Rlimit {
  readonly name: RlimitName;
  readonly soft: number | undefined;
  /** Above the node's own one it is refused, unless the agent has CAP_SYS_RESOURCE. */
  readonly hard: number | undefined;
}

/** A file or folder that appears in a container. Applied in order, after the standard mounts. */
export interface Mount {
  /**
   * "bind": `source` is a path on the node. "tmpfs": `source` is unused, options apply. "imageVolume": `source` is an empty folder on the node,
   * which is filled with what the image has at the destination and then bound like any other.
   */
  readonly type: "bind" | "tmpfs" | "imageVolume";
  readonly source: string;
  /**
   * bind only: mount what is here below the source. Relative, without "..". The source's content is not trusted: links are followed inside it
   * only, one that leads out is refused. Folders are created when absent, with the mode of the source.
   */
  readonly subPath?: string;
  /** Absolute path in the container; created when absent, resolved inside the rootfs only. */
  readonly destination: string;
  readonly readOnly: boolean;
  /** Bind submounts of the source as well. */
  readonly recursive: boolean;
  readonly propagation: "private" | "rslave" | "rshared";
  /** tmpfs only: size limit in bytes and mode. */
  readonly sizeBytes?: number;
  readonly mode?: number;
}

/** A system call filter that somebody wrote down, in the numbers of seccomp(2) and libseccomp. */
export interface SeccompProfile {
  /** SECCOMP_RET_... with its data, for what no rule applies to. */
  readonly defaultAction: number;
  /** Beside the machine's own, by libseccomp's names ("x86"): what is called for another one ends the process. */
  readonly architectures: readonly string[];
  readonly rules: readonly SeccompRule[];
  /** SECCOMP_FILTER_FLAG_..., 0 for none. */
  readonly flags: number;
}

/** Of one system call. */
export interface SeccompRule {
  readonly name: string;
  /** SECCOMP_RET_... with its data. */
  readonly action: number;
  /** All must hold; of several on one argument one is enough. */
  readonly conditions: readonly SeccompCondition[];
}

export interface SeccompCondition {
  /** 0 to 5. */
  readonly argument: number;
  /** libseccomp's enum scmp_compare. */
  readonly comparison: number;
  /** What is compared with; the mask when it is a masked comparison, and `valueTwo` what is left by it. */
  readonly value: bigint;
  readonly valueTwo: bigint;
}

export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

/** How a process sees the kernel: shared by a container's first process and by exec. */
export interface ProcessSpec {
  readonly argv: readonly string[];
  /** "NAME=value" each. */
  readonly env: readonly string[];
  /** Absolute, inside the container. Created when absent. */
  readonly cwd: string;
  readonly user: ContainerUser;
  /** Allocate a terminal for stdin, stdout and stderr. */
  readonly terminal: boolean;
  /** How large the terminal is when the process first looks; the kernel's 0 by 0 when not known. */
  readonly terminalSize?: { readonly columns: number; readonly rows: number };
}

export interface ContainerSpec {
  /** Unique in its sandbox, also over restarts: "<container name>_<attempt>". */
  readonly id: string;
  readonly process: ProcessSpec;
  readonly rootfs: {
    /** Layer folders, topmost first, as overlayfs wants them. */
    readonly lower: readonly string[];
    /** Existing empty folders on one file system. What is written there is not synced to the disk, and neither can be used a second time. */
    readonly upper: string;
    readonly work: string;
    readonly readOnly: boolean;
  };
  readonly mounts: readonly Mount[];
  /** Names without "CAP_" ("NET_BIND_SERVICE"); for uid 0 permitted, effective and bounding; inheritable and ambient stay empty. */
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  /** All devices, no masks, no seccomp, all capabilities; /sys writable. */
  readonly privileged: boolean;
  readonly seccomp: "RuntimeDefault" | "Unconfined" | SeccompProfile;
  readonly resources: Resources;
  /** "container": an own PID namespace. "pod": the sandbox's, which must have been made with `sharePids`. "host": the node's. Else that of a running container
   * of the sandbox, by its id: the container ends with that one at the latest.
   */
  readonly pid: "container" | "pod" | "host" | { readonly container: string };
  /**
   * With `pid` "container": the first process is a small init, which runs the command as its child, hands signals on to it, reaps orphans, and
   * exits as the command does. Otherwise of no effect: the first process of the other namespaces reaps already.
   */
  readonly init: boolean;
  /** Keep a stdin pipe open that attach can write to. Otherwise /dev/null. */
  readonly stdin: boolean;
  /** Where the shim writes stdout and stderr, in the CRI log format "TIME stdout|stderr F|P text". */
  readonly log: {
    readonly path: string;
    /** Rotate beyond so many bytes, to path.1, path.2 ...; keep so many files in all. */
    readonly maxBytes: number;
    readonly maxFiles: number;
  };
  /** 0 to 1000. */
  readonly oomScoreAdj: number;
  /** For the container's processes, those of exec included; what is not named is as the agent has it. */
  readonly rlimits?: readonly Rlimit[];
}

export type ContainerState =
  | {
      readonly phase: "running";
      readonly id: string;
      readonly pid: number;
      readonly startedAtMs: number;
      /** It was paused and not resumed since. */
      readonly paused?: true;
    }
  | {
      readonly phase: "exited";
      readonly id: string;
      readonly startedAtMs: number;
      readonly finishedAtMs: number;
      /** As a shell reports it: 128 + signal number when a signal ended it. */
      readonly exitCode: number;
      /** 0 when the process ended by itself. */
      readonly signal: number;
      /** The kernel killed a process of the container because its memory limit was reached. */
      readonly oomKilled: boolean;
    };

export interface SandboxState {
  readonly id: string;
  /** Process id of the shim on the node. */
  readonly pid: number;
  readonly containers: readonly ContainerState[];
}

/** A container of a sandbox, by their ids. */
export interface ContainerAddress {
  readonly sandbox: string;
  readonly container: string;
}

/** Counters that began at 0 when the container was started; what the kernel does not count is 0. */
export interface ContainerUsage {
  /** When it was read: nanoseconds since the boot, by a clock that nobody sets. */
  readonly timeNs: bigint;
  /** CPU time of all its processes, ended ones included. */
  readonly cpuNs: bigint;
  /** Memory without the file cache that the kernel can drop at once. */
  readonly memoryWorkingSetBytes: bigint;
}

/** What happens without being asked for. */
export type RuntimeEvent =
  | { readonly event: "containerExited"; readonly sandbox: string; readonly container: Extract<ContainerState, { phase: "exited" }> }
  /** The shim is gone, and with it the containers: what is left of them was killed. */
  | { readonly event: "sandboxLost"; readonly sandbox: string };

/** A running exec. Data flows through callbacks with backpressure by `pause` and `resume`. */
export interface ExecSession {
  write(chunk: Uint8Array): Promise<void>;
  closeStdin(): void;
  resize(columns: number, rows: number): void;
  /** Kills the process if it still runs. */
  kill(): void;
  /** Resolves when the process has ended and its output was delivered. */
  readonly exited: Promise<{ readonly exitCode: number }>;
}

export interface AttachOptions {
  /** The end of the session closes the container's stdin. */
  readonly endsStdin?: boolean;
  /** Who is the first to attach to a container with stdin gets what it has said since its start as well, unless that is too much to keep. */
  readonly earlyOutput?: boolean;
}

export interface ExecOutput {
  /** Awaited before more is read. */
  stdout(chunk: Uint8Array): void | Promise<void>;
  stderr(chunk: Uint8Array): void | Promise<void>;
}

/** A connection to a port of a pod. Each direction ends by itself. */
export interface PortSession {
  write(chunk: Uint8Array): Promise<void>;
  /** No more will be written; what the pod sends still comes. */
  end(): void;
  /** Breaks the connection off. */
  destroy(): void;
  /** Resolves when both directions have ended and all was delivered; rejects when the connection breaks. */
  readonly closed: Promise<void>;
}

export interface PortOutput {
  /** Awaited before more is read. */
  data(chunk: Uint8Array): void | Promise<void>;
  /** The pod's program sends no more. */
  end(): void | Promise<void>;
}

export interface Runtime {
  /** Makes the pod's cgroups, starts its shim in the given network namespace. Throws RuntimeError; leaves nothing on failure. */
  createSandbox(spec: SandboxSpec, signal: AbortSignal): Promise<SandboxState>;
  /** Starts a container. Throws RuntimeError with reason "CommandNotFound" (exit code 127/128 rules), "InvalidArgument", ... */
  startContainer(sandbox: string, spec: ContainerSpec, signal: AbortSignal): Promise<Extract<ContainerState, { phase: "running" }>>;
  /** Sends a signal to the container's first process. A container that has ended is no error. */
  signalContainer(sandbox: string, container: string, signalNumber: number): Promise<void>;
  /** Stops all processes of the container where they are. They keep what they have, and can still be killed. One that has ended is no error. */
  pauseContainer(sandbox: string, container: string): Promise<void>;
  /** Lets a paused container go on. Right when it is not paused or has ended. */
  resumeContainer(sandbox: string, container: string): Promise<void>;
  /** Forgets an exited container and removes its cgroup. Right when it never existed. */
  removeContainer(sandbox: string, container: string): Promise<void>;
  /** Kills whatever runs, ends the shim, removes cgroups and runtime files. Right when it never existed, half existed or was removed before. */
  removeSandbox(sandbox: string): Promise<void>;
  exec(
    sandbox: string,
    container: string,
    process: ProcessSpec,
    stdin: boolean,
    output: ExecOutput,
    signal: AbortSignal,
  ): Promise<ExecSession>;
  /**
   * Output of the container from now on, and its stdin if it was started with one. The container waits for a receiver that takes its time, but
   * one that takes nothing for some seconds is let go. `kill` only ends the session.
   */
  attach(sandbox: string, container: string, output: ExecOutput, signal: AbortSignal, options?: AttachOptions): Promise<ExecSession>;
  /**
   * Connects to a TCP port of the pod, on its loopback address. Throws RuntimeError with the errno when nobody listens. When the signal is
   * aborted the pod's program sees a reset.
   */
  connect(sandbox: string, port: number, output: PortOutput, signal: AbortSignal): Promise<PortSession>;
  /**
   * What running containers have used so far, in the order in which they were asked for: undefined for one that does not run, an error for one
   * that cannot be read.
   */
  usage(containers: readonly ContainerAddress[]): Promise<(ContainerUsage | RuntimeError | undefined)[]>;
  /** All sandboxes that live on this node, found again after a restart of the agent. Connects to their shims. */
  recover(signal: AbortSignal): Promise<SandboxState[]>;
  /** One subscriber; events of recovered sandboxes are delivered after `recover` resolved. */
  onEvent(listener: (event: RuntimeEvent) => void): void;
  /** Closes connections; sandboxes live on. */
  close(): Promise<void>;
}

/** Why the runtime refused or failed; stable, told apart by the agent. */
export type RuntimeErrorReason =
  | "CommandNotFound"
  | "CommandNotExecutable"
  | "InvalidArgument"
  | "NotFound"
  | "AlreadyExists"
  | "NoSpace"
  | "Cancelled"
  | "Internal";

export class RuntimeError extends Error {
  override readonly name = "RuntimeError";
  readonly reason: RuntimeErrorReason;
  /** The step that failed, as "mount /proc" or "exec". */
  readonly step: string;
  /** errno, 0 when it was not a system call. */
  readonly errno: number;
  constructor(reason: RuntimeErrorReason, message: string, details: { step: string; errno?: number; cause?: unknown }) {
    super(message, { cause: details.cause });
    this.reason = reason;
    this.step = details.step;
    this.errno = details.errno ?? 0;
  }
}
