import { capabilityNames } from "./capability-names.ts";
import {
  type ContainerSpec,
  type ContainerState,
  type Mount,
  type ProcessSpec,
  type Rlimit,
  RuntimeError,
  type RuntimeErrorReason,
  rlimitNames,
} from "./runtime.ts";
import { type Fields, FieldWriter } from "./shim-protocol.ts";

/** enum ts_reason of src/container/failure.h, by number. */
const reasons: readonly RuntimeErrorReason[] = [
  "Internal",
  "InvalidArgument",
  "CommandNotFound",
  "CommandNotExecutable",
  "NotFound",
  "AlreadyExists",
  "NoSpace",
];

/** enum ts_mount_type of src/container/spec.h. */
const mountTypes = { bind: 0, tmpfs: 1, subPath: 2, imageVolume: 3 } as const;
const propagations = { private: 0, rslave: 1, rshared: 2 } as const;

const everyCapability = (1n << 64n) - 1n;

function capabilityMask(names: readonly string[]): bigint {
  let mask = 0n;
  for (const name of names) {
    const number = capabilityNames.indexOf(name);
    if (number < 0)
      throw new RuntimeError("InvalidArgument", `there is no capability "${name}"; names are like "NET_BIND_SERVICE"`, {
        step: "read capabilities",
      });
    mask |= 1n << BigInt(number);
  }
  return mask;
}

function writeProcess(writer: FieldWriter, process: ProcessSpec): void {
  writer.strings("ARGUMENT", process.argv).strings("VARIABLE", process.env).string("CWD", process.cwd);
  writer.u32("UID", process.user.uid).u32("GID", process.user.gid).bool("TERMINAL", process.terminal);
  if (process.terminalSize) writer.u32("COLUMNS", process.terminalSize.columns).u32("ROWS", process.terminalSize.rows);
  for (const gid of process.user.additionalGids) writer.u32("GROUP", gid);
}

function writeMount(writer: FieldWriter, mount: Mount): void {
  const type = mount.subPath === undefined ? mount.type : "subPath";
  writer.u32("MOUNT_TYPE", mountTypes[type]).string("SOURCE", mount.source).string("DESTINATION", mount.destination);
  if (mount.subPath !== undefined) writer.string("SUB_PATH", mount.subPath);
  writer.bool("READ_ONLY", mount.readOnly).bool("RECURSIVE", mount.recursive).u32("PROPAGATION", propagations[mount.propagation]);
  if (mount.sizeBytes !== undefined) writer.u64("SIZE", mount.sizeBytes);
  if (mount.mode !== undefined) writer.u32("MODE", mount.mode);
}

/** RLIM_INFINITY. */
const unlimited = (1n << 64n) - 1n;

function writeRlimit(writer: FieldWriter, { name, soft, hard }: Rlimit): void {
  writer
    .u32("RESOURCE", rlimitNames.indexOf(name))
    .u64("SOFT", soft ?? unlimited)
    .u64("HARD", hard ?? unlimited);
}

/** Payload of START. `seccomp` is the filter's program, absent for none. */
export function encodeContainer(spec: ContainerSpec, cgroupDirs: readonly string[], seccomp: Uint8Array | undefined): Buffer {
  return encode(() => {
    const writer = new FieldWriter().string("CONTAINER", spec.id);
    writeProcess(writer, spec.process);
    writer.strings("LOWER", spec.rootfs.lower).string("UPPER", spec.rootfs.upper).string("WORK", spec.rootfs.work);
    // Any folder would do: only the container's own mounts are there, and it sees nothing below its root.
    writer.string("MOUNTPOINT", spec.rootfs.upper).bool("READ_ONLY", spec.rootfs.readOnly);
    for (const mount of spec.mounts) writer.fields("MOUNT", (inner) => writeMount(inner, mount));
    writer.u64("CAPABILITIES", spec.privileged ? everyCapability : capabilityMask(spec.capabilities));
    writer.bool("NO_NEW_PRIVILEGES", spec.noNewPrivileges).bool("PRIVILEGED", spec.privileged);
    if (seccomp) writer.bytes("SECCOMP", seccomp);
    if (typeof spec.seccomp === "object") writer.u32("SECCOMP_FLAGS", spec.seccomp.flags);
    writer
      .strings("CGROUP_DIR", cgroupDirs)
      .bool("HOST_PID", spec.pid === "host")
      .bool("POD_PID", spec.pid === "pod")
      .strings("TARGET", typeof spec.pid === "object" ? [spec.pid.container] : [])
      .bool("INIT", spec.init && spec.pid === "container")
      .bool("STDIN_OPEN", spec.stdin);
    for (const rlimit of spec.rlimits ?? []) writer.fields("RLIMIT", (inner) => writeRlimit(inner, rlimit));
    writer.u32("OOM_SCORE_ADJ", spec.oomScoreAdj).string("LOG_PATH", spec.log.path);
    return writer.u64("LOG_MAX_BYTES", spec.log.maxBytes).u32("LOG_MAX_FILES", spec.log.maxFiles).finish();
  });
}

/** Payload of EXEC. */
export function encodeExec(container: string, process: ProcessSpec, stdin: boolean): Buffer {
  return encode(() => {
    const writer = new FieldWriter().string("CONTAINER", container).bool("STDIN_OPEN", stdin);
    writeProcess(writer, process);
    return writer.finish();
  });
}

/** A value that does not fit its field is the caller's mistake. */
function encode(write: () => Buffer): Buffer {
  try {
    return write();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new RuntimeError("InvalidArgument", `request to the shim: ${cause.message}`, { step: "write request", cause });
  }
}

/** A CONTAINER_STATE field. */
export function decodeContainerState(fields: Fields): ContainerState {
  const id = fields.string("CONTAINER");
  const startedAtMs = fields.u64("STARTED_AT");
  if (fields.has("PID")) return { phase: "running", id, pid: fields.u32("PID"), startedAtMs };
  return {
    phase: "exited",
    id,
    startedAtMs,
    finishedAtMs: fields.u64("FINISHED_AT"),
    exitCode: fields.u32("EXIT_CODE"),
    signal: fields.u32("SIGNAL"),
    oomKilled: fields.u32("OOM_KILLED") === 1,
  };
}

/** An ERROR frame. */
export function decodeError(fields: Fields, errorText: (errno: number) => string): RuntimeError {
  const step = fields.string("STEP");
  const operand = fields.string("OPERAND");
  const errno = fields.u32("ERRNO");
  const reason = reasons[fields.u32("REASON")] ?? "Internal";
  const message = [step, operand, errorText(errno)].filter((part) => part !== "").join(": ");
  return new RuntimeError(reason, message, { step, errno });
}
