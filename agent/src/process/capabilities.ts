import { type SecurityContext, TesseraError } from "@tessera/proto";

/** What containers get unless the pod says otherwise: the set of docker and containerd. */
const DEFAULT = [
  "AUDIT_WRITE",
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "MKNOD",
  "NET_BIND_SERVICE",
  "NET_RAW",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
];

/** All of Linux 6, in the kernel's order. */
const ALL = [
  "CHOWN",
  "DAC_OVERRIDE",
  "DAC_READ_SEARCH",
  "FOWNER",
  "FSETID",
  "KILL",
  "SETGID",
  "SETUID",
  "SETPCAP",
  "LINUX_IMMUTABLE",
  "NET_BIND_SERVICE",
  "NET_BROADCAST",
  "NET_ADMIN",
  "NET_RAW",
  "IPC_LOCK",
  "IPC_OWNER",
  "SYS_MODULE",
  "SYS_RAWIO",
  "SYS_CHROOT",
  "SYS_PTRACE",
  "SYS_PACCT",
  "SYS_ADMIN",
  "SYS_BOOT",
  "SYS_NICE",
  "SYS_RESOURCE",
  "SYS_TIME",
  "SYS_TTY_CONFIG",
  "MKNOD",
  "LEASE",
  "AUDIT_WRITE",
  "AUDIT_CONTROL",
  "SETFCAP",
  "MAC_OVERRIDE",
  "MAC_ADMIN",
  "SYSLOG",
  "WAKE_ALARM",
  "BLOCK_SUSPEND",
  "AUDIT_READ",
  "PERFMON",
  "BPF",
  "CHECKPOINT_RESTORE",
];

/** The container's capabilities, without "CAP_". Throws TesseraError "Invalid" for a name that the kernel does not have. */
export function containerCapabilities(context: SecurityContext): string[] {
  if (context.privileged ?? false) return ALL;
  const add = (context.capabilities?.add ?? []).map(normalise);
  const drop = (context.capabilities?.drop ?? []).map(normalise);
  const start = add.includes("ALL") ? ALL : drop.includes("ALL") ? [] : DEFAULT;
  const kept = start.filter((name) => !drop.includes(name));
  return [...new Set([...kept, ...add.filter((name) => name !== "ALL")])];
}

function normalise(name: string): string {
  const upper = name.toUpperCase().replace(/^CAP_/, "");
  if (upper !== "ALL" && !ALL.includes(upper)) throw new TesseraError("Invalid", `capability "${name}" does not exist`);
  return upper;
}
