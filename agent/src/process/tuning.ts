import { readFileSync, statSync } from "node:fs";
import { type Container, containerTuning, type DeviceLimit, type Pod, parseIdList, TesseraError } from "@tessera/proto";
import type { ContainerSpec, IoLimit, Resources } from "@tessera/runtime-native";

/** Number of a node's block device, of the whole one for a partition. Throws TesseraError when there is none. */
export type FindDevice = (path: string) => { readonly major: number; readonly minor: number };

type AnnotatedResources = Pick<Resources, "ioWeight" | "ioLimits" | "cpusetCpus" | "cpusetMems">;

/** What annotations say of the container. Throws TesseraError for a device, a CPU or a memory node that the node does not have. */
export function annotatedLimits(
  pod: Pod,
  container: Container,
  findDevice: FindDevice = findBlockDevice,
): Pick<ContainerSpec, "rlimits"> & { readonly resources: AnnotatedResources } {
  const tuning = containerTuning(pod.metadata?.annotations, container.name ?? "");
  const { ulimits, blkioWeight, deviceLimits, cpusetCpus, cpusetMems } = tuning;
  return {
    ...(ulimits.length > 0 ? { rlimits: ulimits } : {}),
    resources: {
      ...(blkioWeight === undefined ? {} : { ioWeight: blkioWeight }),
      ...(deviceLimits.length > 0 ? { ioLimits: toIoLimits(deviceLimits, findDevice) } : {}),
      ...(cpusetCpus === undefined ? {} : { cpusetCpus: within(cpusetCpus, "CPU", "cpu") }),
      ...(cpusetMems === undefined ? {} : { cpusetMems: within(cpusetMems, "memory node", "node") }),
    },
  };
}

/** cgroup v2 would take what is not there, and give the container all that there is when nothing else is left. */
function within(wanted: string, what: string, folder: "cpu" | "node"): string {
  const online = readFileSync(`/sys/devices/system/${folder}/online`, "utf8").trim();
  const present = parseIdList(online);
  const missing = [...(parseIdList(wanted) ?? [])].find((id) => present?.has(id) === false);
  if (missing !== undefined) throw new TesseraError("Invalid", `the node has no ${what} ${missing}, only ${online}`);
  return wanted;
}

const fields = {
  "read-bps": "readBytes",
  "write-bps": "writeBytes",
  "read-iops": "readOperations",
  "write-iops": "writeOperations",
} as const satisfies Record<DeviceLimit["rate"], keyof IoLimit>;

/** One entry for each device, whatever names it goes by. */
function toIoLimits(limits: readonly DeviceLimit[], findDevice: FindDevice): IoLimit[] {
  const devices = new Map<string, IoLimit>();
  for (const { device, rate, limit } of limits) {
    const { major, minor } = findDevice(device);
    const key = `${major}:${minor}`;
    devices.set(key, { ...devices.get(key), major, minor, [fields[rate]]: limit });
  }
  return [...devices.values()];
}

function findBlockDevice(path: string): { major: number; minor: number } {
  let info: ReturnType<typeof statSync>;
  try {
    info = statSync(path);
  } catch (error) {
    throw new TesseraError("Invalid", `the node has no device ${path}: ${(error as Error).message}`, { cause: error });
  }
  if (!info.isBlockDevice()) throw new TesseraError("Invalid", `${path} is no block device; only those can be limited`);
  // glibc's dev_t: the minor number lies around the major one.
  const major = Math.floor(info.rdev / 256) % 4096;
  const minor = (info.rdev % 256) + Math.floor(info.rdev / 2 ** 20) * 256;
  return wholeDevice(major, minor);
}

/** Limits are kept by whole devices: a partition lies in the folder of its disk. */
function wholeDevice(major: number, minor: number): { major: number; minor: number } {
  const folder = `/sys/dev/block/${major}:${minor}`;
  const read = (file: string) => {
    try {
      return readFileSync(`${folder}/${file}`, "utf8").trim();
    } catch {
      // No such file: it is no partition.
      return undefined;
    }
  };
  if (read("partition") === undefined) return { major, minor };
  const [diskMajor, diskMinor] = (read("../dev") ?? "").split(":").map(Number);
  return { major: diskMajor ?? major, minor: diskMinor ?? minor };
}
