import { readFileSync, statSync } from "node:fs";
import { type Container, containerTuning, type DeviceLimit, type Pod, TesseraError } from "@tessera/proto";
import type { ContainerSpec, IoLimit, Resources } from "@tessera/runtime-native";

/** Number of a node's block device, of the whole one for a partition. Throws TesseraError when there is none. */
export type FindDevice = (path: string) => { readonly major: number; readonly minor: number };

/** What annotations say of the container. Throws TesseraError for a device that the node does not have. */
export function annotatedLimits(
  pod: Pod,
  container: Container,
  findDevice: FindDevice = findBlockDevice,
): Pick<ContainerSpec, "rlimits"> & { readonly resources: Pick<Resources, "ioWeight" | "ioLimits"> } {
  const { ulimits, blkioWeight, deviceLimits } = containerTuning(pod.metadata?.annotations, container.name ?? "");
  return {
    ...(ulimits.length > 0 ? { rlimits: ulimits } : {}),
    resources: {
      ...(blkioWeight === undefined ? {} : { ioWeight: blkioWeight }),
      ...(deviceLimits.length > 0 ? { ioLimits: toIoLimits(deviceLimits, findDevice) } : {}),
    },
  };
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
