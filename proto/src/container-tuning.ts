import { parseIdList } from "./id-list.ts";
import { isQuantity, quantityValue } from "./quantity.ts";

/** What Docker can limit and a pod has no field for. It is said by annotations: of the pod for all its containers, or of one container. */
export interface ContainerTuning {
  readonly ulimits: readonly Ulimit[];
  /** Share of the disks' time against other containers, 10 to 1000. */
  readonly blkioWeight: number | undefined;
  readonly deviceLimits: readonly DeviceLimit[];
  /** Where it may run and have its memory, as the kernel writes it: "0-3,8". */
  readonly cpusetCpus: string | undefined;
  readonly cpusetMems: string | undefined;
}

/** undefined: unlimited. */
export interface Ulimit {
  readonly name: UlimitName;
  readonly soft: number | undefined;
  readonly hard: number | undefined;
}

export interface DeviceLimit {
  /** Its file on the node: "/dev/vda". */
  readonly device: string;
  readonly rate: DeviceRate;
  /** Bytes or operations per second. */
  readonly limit: number;
}

export const deviceRates = ["read-bps", "write-bps", "read-iops", "write-iops"] as const;
export type DeviceRate = (typeof deviceRates)[number];

/** As Docker's --ulimit names them. */
export const ulimitNames = [
  ...(["core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile"] as const),
  ...(["nproc", "rss", "rtprio", "rttime", "sigpending", "stack"] as const),
];
export type UlimitName = (typeof ulimitNames)[number];

/** An annotation that cannot be understood. */
export interface TuningFault {
  readonly annotation: string;
  readonly value: string;
  readonly message: string;
}

type Annotations = { readonly [name: string]: string };
type Faults = (message: string) => undefined;

const prefix = "tessera.dev/";
const ulimitsName = "ulimits";
const weightName = "blkio-weight";
const pausedName = "paused";
const rateName = (rate: DeviceRate) => `device-${rate}` as const;
const cpusName = "cpuset-cpus";
const memsName = "cpuset-mems";
const perContainer: readonly string[] = [ulimitsName, weightName, cpusName, memsName, ...deviceRates.map(rateName)];

/** The container's limits by the pod's annotations. What cannot be understood is left out: the API refuses pods that have it. */
export function containerTuning(annotations: Annotations | undefined, container: string): ContainerTuning {
  const ignore: Faults = () => undefined;
  const read = <T>(name: string, parse: (value: string, fault: Faults) => T | undefined): T | undefined => {
    const value = annotations?.[`${prefix}${name}.${container}`] ?? annotations?.[`${prefix}${name}`];
    return value === undefined ? undefined : parse(value, ignore);
  };
  return {
    ulimits: read(ulimitsName, parseUlimits) ?? [],
    blkioWeight: read(weightName, parseWeight),
    deviceLimits: deviceRates.flatMap((rate) => read(rateName(rate), (value, fault) => parseDeviceLimits(rate, value, fault)) ?? []),
    cpusetCpus: read(cpusName, parseCpuset),
    cpusetMems: read(memsName, parseCpuset),
  };
}

/** The containers that are to stand still: none, all of them, or those that are named. */
export function pausedContainers(annotations: Annotations | undefined, containers: readonly string[]): readonly string[] {
  const value = annotations?.[`${prefix}${pausedName}`] ?? "";
  return parsePaused(value, containers, () => undefined) ?? [];
}

/** All that is wrong with the annotations of a pod with these containers. */
export function tuningFaults(annotations: Annotations | undefined, containers: readonly string[]): TuningFault[] {
  const faults: TuningFault[] = [];
  for (const [annotation, value] of Object.entries(annotations ?? {})) {
    if (!annotation.startsWith(prefix)) continue;
    const fault: Faults = (message) => void faults.push({ annotation, value, message });
    const name = annotation.slice(prefix.length);
    if (name === pausedName) {
      parsePaused(value, containers, fault);
      continue;
    }
    const kind = perContainer.find((one) => name === one || name.startsWith(`${one}.`));
    if (kind === undefined) continue;
    const container = name.slice(kind.length + 1);
    if (name !== kind && !containers.includes(container)) fault(`the pod has no container "${container}"`);
    parseKind(kind, value, fault);
  }
  return faults;
}

function parseKind(kind: string, value: string, fault: Faults): void {
  if (kind === ulimitsName) parseUlimits(value, fault);
  else if (kind === weightName) parseWeight(value, fault);
  else if (kind === cpusName || kind === memsName) parseCpuset(value, fault);
  else for (const rate of deviceRates) if (kind === rateName(rate)) parseDeviceLimits(rate, value, fault);
}

/** "nofile=1024:2048,core=0": soft and hard, or one for both. */
function parseUlimits(value: string, fault: Faults): Ulimit[] | undefined {
  const ulimits: Ulimit[] = [];
  for (const part of value.split(",")) {
    const [, word = "", soft = "", hard = soft] = /^\s*(\w+)=([^:\s]+)(?::([^:\s]+))?\s*$/.exec(part) ?? [];
    if (word === "") return fault(`"${part}" is not like nofile=1024 or nofile=1024:2048`);
    const name = ulimitNames.find((one) => one === word);
    if (name === undefined) return fault(`there is no ulimit "${word}"; there are ${ulimitNames.join(", ")}`);
    if (ulimits.some((one) => one.name === name)) return fault(`ulimit ${name} is set twice`);
    const [low, high] = [parseUlimit(soft), parseUlimit(hard)];
    if (low === null || high === null) return fault(`"${part}": a limit is a whole number, "unlimited" or -1`);
    if ((low ?? Number.POSITIVE_INFINITY) > (high ?? Number.POSITIVE_INFINITY))
      return fault(`"${part}": the soft limit is above the hard one`);
    ulimits.push({ name, soft: low, hard: high });
  }
  return ulimits;
}

/** null: it is none. */
function parseUlimit(text: string): number | undefined | null {
  if (text === "unlimited" || text === "-1") return undefined;
  return /^\d+$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : null;
}

function parseWeight(value: string, fault: Faults): number | undefined {
  const weight = Number(value);
  return /^\d+$/.test(value) && weight >= 10 && weight <= 1000 ? weight : fault("must be a whole number from 10 to 1000");
}

function parseCpuset(value: string, fault: Faults): string | undefined {
  return parseIdList(value) === undefined
    ? fault("must be numbers and ranges of them with commas between, such as 0-3,8")
    : value.replace(/\s/g, "");
}

/** "/dev/vda:10Mi,/dev/vdb:1Mi" */
function parseDeviceLimits(rate: DeviceRate, value: string, fault: Faults): DeviceLimit[] | undefined {
  const limits: DeviceLimit[] = [];
  for (const part of value.split(",")) {
    const [, device = "", amount = ""] = /^\s*(\/dev\/[^:\s]+):([^:\s]+)\s*$/.exec(part) ?? [];
    if (device === "" || device.includes("..")) return fault(`"${part}" is not like /dev/vda:10Mi`);
    const limit = isQuantity(amount) ? quantityValue(amount) : 0;
    if (limit < 1) return fault(`"${part}": "${amount}" is not a quantity of at least 1 per second, such as 500 or 10Mi`);
    if (limits.some((one) => one.device === device)) return fault(`${device} is limited twice`);
    limits.push({ device, rate, limit });
  }
  return limits;
}

function parsePaused(value: string, containers: readonly string[], fault: Faults): readonly string[] | undefined {
  if (value === "true") return containers;
  if (value === "false" || value === "") return [];
  const named = value.split(",").map((name) => name.trim());
  const unknown = named.find((name) => !containers.includes(name));
  return unknown === undefined ? named : fault(`must be "true", "false" or names of containers; the pod has no container "${unknown}"`);
}
