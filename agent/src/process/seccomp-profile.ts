import { TesseraError } from "@tessera/proto";
import type { SeccompCondition, SeccompProfile, SeccompRule } from "@tessera/runtime-native";

/** What a profile's conditional parts are decided by. */
export interface SeccompPlace {
  /** The container's, without "CAP_". */
  readonly capabilities: readonly string[];
  /** As Node names it: "x64". */
  readonly architecture: string;
  /** As the kernel says it: "6.1.0-18-amd64". */
  readonly kernel: string;
}

/** SECCOMP_RET_... of linux/seccomp.h; an errno or a tracer's word goes into the lower half. */
const ACTIONS: Readonly<Record<string, number>> = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x8000_0000,
  SCMP_ACT_TRAP: 0x0003_0000,
  SCMP_ACT_ERRNO: 0x0005_0000,
  SCMP_ACT_TRACE: 0x7ff0_0000,
  SCMP_ACT_LOG: 0x7ffc_0000,
  SCMP_ACT_ALLOW: 0x7fff_0000,
};
const EPERM = 1;
const LARGEST_DATA = 0xffff;

/** libseccomp's enum scmp_compare. */
const COMPARISONS: Readonly<Record<string, number>> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};

/** seccomp(2). A container's process has one thread when its filter is loaded, so there is none to synchronise. */
const FLAGS: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: 0,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
};

/** Node's name of a processor, the profiles' for what is included, and libseccomp's constant. */
const MACHINES: Readonly<Record<string, { readonly included: string; readonly constant: string }>> = {
  x64: { included: "amd64", constant: "SCMP_ARCH_X86_64" },
  arm64: { included: "arm64", constant: "SCMP_ARCH_AARCH64" },
};

/**
 * Reads a profile in JSON as OCI runtimes and Docker have it: `architectures` or `archMap`, and rules that Docker includes or excludes by
 * capability, architecture and kernel. Throws TesseraError Invalid, which names the place; whether a system call exists is found out later.
 */
export function parseSeccompProfile(text: string, place: SeccompPlace): SeccompProfile {
  const profile = readObject(parseJson(text), "the profile", [
    ...["defaultAction", "defaultErrnoRet", "defaultErrno", "architectures", "archMap", "flags", "syscalls"],
    ...["listenerPath", "listenerMetadata"],
  ]);
  for (const key of ["listenerPath", "listenerMetadata"]) if (profile[key]) fail(key, "a process that decides on calls is not supported");
  const defaultAction = readAction(profile["defaultAction"], profile["defaultErrnoRet"], "defaultAction");
  const syscalls = readArray(profile["syscalls"], "syscalls").flatMap((value, index) => readRules(value, `syscalls[${index}]`, place));
  const flags = readArray(profile["flags"], "flags").map((flag, index) => readNamed(FLAGS, flag, `flags[${index}]`));
  return {
    defaultAction,
    architectures: readArchitectures(profile, place),
    rules: syscalls,
    flags: flags.reduce((all, flag) => all | flag, 0),
  };
}

function fail(path: string, what: string): never {
  throw new TesseraError("Invalid", `${path}: ${what}`);
}

/** Numbers that JavaScript's own cannot hold are kept as bigint. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) =>
      typeof value === "number" && !Number.isSafeInteger(value) && /^\d+$/.test(context?.source ?? "")
        ? BigInt(context?.source ?? "")
        : value,
    );
  } catch (error) {
    throw new TesseraError("Invalid", `not JSON: ${(error as Error).message}`, { cause: error });
  }
}

function readObject(value: unknown, path: string, keys: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fail(path, "must be an object");
  const unknown = Object.keys(value).find((key) => !keys.includes(key));
  if (unknown !== undefined) fail(path, `unknown field "${unknown}"; there are ${keys.join(", ")}`);
  return value as Record<string, unknown>;
}

/** Absent and null are empty. */
function readArray(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : fail(path, "must be a list");
}

function readStrings(value: unknown, path: string): string[] {
  return readArray(value, path).map((one, index) => (typeof one === "string" ? one : fail(`${path}[${index}]`, "must be a string")));
}

function readNamed(table: Readonly<Record<string, number>>, value: unknown, path: string): number {
  const number = typeof value === "string" && Object.hasOwn(table, value) ? table[value] : undefined;
  return number ?? fail(path, `${JSON.stringify(value) ?? "it"} must be one of ${Object.keys(table).join(", ")}`);
}

function readAction(value: unknown, data: unknown, path: string): number {
  const action = readNamed(ACTIONS, value, path);
  if (value !== "SCMP_ACT_ERRNO" && value !== "SCMP_ACT_TRACE") return action;
  if (data === undefined || data === null) return action + EPERM;
  if (typeof data !== "number" || !Number.isInteger(data) || data < 0 || data > LARGEST_DATA)
    return fail(path, `errno ${data} must be a number up to ${LARGEST_DATA}`);
  return action + data;
}

function readArchitectures(profile: Readonly<Record<string, unknown>>, { architecture }: SeccompPlace): string[] {
  const own = MACHINES[architecture]?.constant;
  const mapped = readArray(profile["archMap"], "archMap").flatMap((value, index) => {
    const path = `archMap[${index}]`;
    const entry = readObject(value, path, ["architecture", "subArchitectures"]);
    return entry["architecture"] === own ? readStrings(entry["subArchitectures"], `${path}.subArchitectures`) : [];
  });
  return [...readStrings(profile["architectures"], "architectures"), ...mapped].map((name) =>
    name.startsWith("SCMP_ARCH_") ? name.slice("SCMP_ARCH_".length).toLowerCase() : fail("architectures", `"${name}" is no architecture`),
  );
}

/** A rule for each name; none when the rule is for other places. */
function readRules(value: unknown, path: string, place: SeccompPlace): SeccompRule[] {
  const rule = readObject(value, path, ["names", "name", "action", "errnoRet", "errno", "args", "comment", "includes", "excludes"]);
  const names = rule["name"] ? readStrings([rule["name"]], `${path}.name`) : readStrings(rule["names"], `${path}.names`);
  if (names.length === 0) fail(`${path}.names`, "a name is missing");
  const action = readAction(rule["action"], rule["errnoRet"], `${path}.action`);
  const conditions = readArray(rule["args"], `${path}.args`).map((one, index) => readCondition(one, `${path}.args[${index}]`));
  if (!isIncluded(rule["includes"], `${path}.includes`, place) || isExcluded(rule["excludes"], `${path}.excludes`, place)) return [];
  return names.map((name) => ({ name, action, conditions }));
}

function readCondition(value: unknown, path: string): SeccompCondition {
  const condition = readObject(value, path, ["index", "value", "valueTwo", "op"]);
  const argument = readUnsigned(condition["index"], `${path}.index`, 5n);
  return {
    argument: Number(argument),
    comparison: readNamed(COMPARISONS, condition["op"], `${path}.op`),
    value: readUnsigned(condition["value"], `${path}.value`),
    valueTwo: readUnsigned(condition["valueTwo"], `${path}.valueTwo`),
  };
}

/** Absent is 0. */
function readUnsigned(value: unknown, path: string, largest = 2n ** 64n - 1n): bigint {
  const number = value === undefined ? 0n : typeof value === "number" && Number.isInteger(value) ? BigInt(value) : value;
  return typeof number === "bigint" && number >= 0n && number <= largest
    ? number
    : fail(path, `${String(value)} must be a number from 0 to ${largest}`);
}

interface Filter {
  readonly capabilities: readonly string[];
  readonly architectures: readonly string[];
  readonly minKernel: string | undefined;
}

function readFilter(value: unknown, path: string): Filter {
  const filter = readObject(value ?? {}, path, ["caps", "arches", "minKernel"]);
  const minKernel = filter["minKernel"];
  if (minKernel !== undefined && (typeof minKernel !== "string" || !/^\d+\.\d+$/.test(minKernel)))
    fail(`${path}.minKernel`, 'must be like "4.8"');
  return {
    capabilities: readStrings(filter["caps"], `${path}.caps`).map((name) => name.replace(/^CAP_/, "")),
    architectures: readStrings(filter["arches"], `${path}.arches`),
    minKernel: minKernel as string | undefined,
  };
}

/** All that is asked for is so. */
function isIncluded(value: unknown, path: string, place: SeccompPlace): boolean {
  const { capabilities, architectures, minKernel } = readFilter(value, path);
  if (!capabilities.every((name) => place.capabilities.includes(name))) return false;
  if (architectures.length > 0 && !architectures.includes(includedName(place))) return false;
  return minKernel === undefined || isAtLeast(place.kernel, minKernel);
}

/** Any of what it is excluded by is so. */
function isExcluded(value: unknown, path: string, place: SeccompPlace): boolean {
  const { capabilities, architectures, minKernel } = readFilter(value, path);
  if (capabilities.some((name) => place.capabilities.includes(name)) || architectures.includes(includedName(place))) return true;
  return minKernel !== undefined && isAtLeast(place.kernel, minKernel);
}

function includedName({ architecture }: SeccompPlace): string {
  return MACHINES[architecture]?.included ?? architecture;
}

function isAtLeast(kernel: string, wanted: string): boolean {
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split(".").map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
