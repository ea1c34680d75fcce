import { type SecurityContext, TesseraError } from "@tessera/proto";
import { capabilityNames } from "@tessera/runtime-native";

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

/** The container's capabilities, without "CAP_". Throws TesseraError "Invalid" for a name that the kernel does not have. */
export function containerCapabilities(context: SecurityContext): string[] {
  if (context.privileged ?? false) return [...capabilityNames];
  const add = (context.capabilities?.add ?? []).map(normalise);
  const drop = (context.capabilities?.drop ?? []).map(normalise);
  const start = add.includes("ALL") ? capabilityNames : drop.includes("ALL") ? [] : DEFAULT;
  const kept = start.filter((name) => !drop.includes(name));
  return [...new Set([...kept, ...add.filter((name) => name !== "ALL")])];
}

function normalise(name: string): string {
  const upper = name.toUpperCase().replace(/^CAP_/, "");
  if (upper !== "ALL" && !capabilityNames.includes(upper)) throw new TesseraError("Invalid", `capability "${name}" does not exist`);
  return upper;
}
