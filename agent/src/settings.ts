import { hostname } from "node:os";
import { resolve } from "node:path";
import { Option } from "commander";
import type { SwapBehavior } from "./node-capacity.ts";

/** What `serve` can be told; each is one command line flag. */
export interface ServeSettings {
  readonly nodeName: string;
  readonly nodeAddress: string;
  /** Absent: as it was learned while joining. */
  readonly controlPlane: string | undefined;
  /** With `token` and `caHash`: where to join when there are no credentials yet. */
  readonly join: string | undefined;
  readonly token: string | undefined;
  readonly caHash: string | undefined;
  readonly credentials: string;
  readonly dataDir: string;
  readonly runDir: string;
  readonly cgroupRoot: string;
  readonly nativeDir: string;
  readonly copyTools: string;
  readonly podPidsLimit: number;
  readonly swapBehavior: SwapBehavior;
  readonly allowedUnsafeSysctl: readonly string[];
  readonly logMaxBytes: number;
  readonly logMaxFiles: number;
  readonly registryCa: string | undefined;
  readonly insecureRegistry: readonly string[];
  readonly usageInterval: number;
  readonly imageGcHigh: number;
  readonly imageGcLow: number;
  readonly imageMinimumAge: number;
  readonly evictionDiskAvailable: number;
  readonly logLevel: string;
}

/** What `join` can be told. */
export interface JoinCommandSettings {
  readonly join: string;
  readonly token: string;
  readonly caHash: string;
  readonly nodeName: string;
  readonly credentials: string;
  readonly logLevel: string;
}

export interface CleanSettings extends InventorySettings {
  readonly keepData?: boolean;
}

export interface InventorySettings {
  readonly dataDir: string;
  readonly runDir: string;
  readonly cgroupRoot: string;
  readonly nativeDir: string;
}

const DATA_DIR = new Option("--data-dir <folder>", "what must outlive the agent: pods, images, addresses").default("/var/lib/tessera");
const RUN_DIR = new Option("--run-dir <folder>", "what a reboot may take: sockets, and how containers ended").default("/run/tessera");
const CGROUP_ROOT = new Option("--cgroup-root <name>", "cgroup that holds those of all pods").default("tessera");

const NODE_NAME = new Option("--node-name <name>", "metadata.name of this node's Node object").default(hostname());
const CREDENTIALS = new Option("--credentials <folder>", "ca.crt, node.crt and node.key of this node").makeOptionMandatory();
const LOG_LEVEL = new Option("--log-level <level>", "how much the agent says")
  .choices(["trace", "debug", "info", "warn", "error"])
  .default("info");

/** What "tsctl join-token create" tells. */
const joinOptions = () => [
  new Option("--join <host:port>", "address of the control plane's API"),
  new Option("--token <token>", "join token").env("TESSERA_JOIN_TOKEN"),
  new Option("--ca-hash <digest>", 'digest of the public key of the cluster\'s CA: "sha256:" and hex'),
];

const NATIVE_DIR = new Option("--native-dir <folder>", "libtessera.so and tessera-shim")
  .argParser((path: string) => resolve(path))
  .default(import.meta.dirname, "beside the program");

export const SERVE_OPTIONS: readonly Option[] = [
  NODE_NAME,
  new Option("--node-address <ip>", "address that other nodes reach this one at").makeOptionMandatory(),
  new Option("--control-plane <host:port>", "where the control plane listens for agents; default: what was learned while joining"),
  CREDENTIALS,
  ...joinOptions(),
  DATA_DIR,
  RUN_DIR,
  CGROUP_ROOT,
  NATIVE_DIR,
  new Option("--copy-tools <file>", "static busybox whose tar and test serve `cp` in images without them").default("/bin/busybox"),
  number("--pod-pids-limit <count>", "most processes and threads of one pod, 0 for no limit", 4096, 0),
  new Option("--swap-behavior <behavior>", "whether Burstable pods may swap, each in proportion to the memory it requests")
    .choices(["NoSwap", "LimitedSwap"])
    .default("NoSwap"),
  new Option("--allowed-unsafe-sysctl <name>", "kernel setting that pods may have besides the safe ones, such as net.core.* (repeatable)")
    .argParser((name: string, before: readonly string[]) => [...before, name])
    .default([]),
  number("--log-max-bytes <bytes>", "a container's log is rotated beyond this size", 10 << 20, 4096),
  number("--log-max-files <count>", "files kept of each container's log", 5, 1),
  new Option("--registry-ca <file>", "PEM certificates of authorities that registries are trusted by, besides the system's"),
  new Option("--insecure-registry <host:port>", "registry that may speak plain HTTP or have any certificate (repeatable)")
    .argParser((host: string, before: readonly string[]) => [...before, host])
    .default([]),
  number("--image-gc-high <percent>", "unused images are removed when so much of the disk is used, 100 for never", 85, 1),
  number("--image-gc-low <percent>", "until so much of the disk is used", 80, 0),
  number("--image-minimum-age <seconds>", "images that were used within so long stay", 120, 0),
  number("--eviction-disk-available <percent>", "pods are evicted when less of the disk is free, 0 for never", 10, 0),
  number("--usage-interval <seconds>", "how often CPU and memory use are reported", 10, 1),
  LOG_LEVEL,
];

export const JOIN_OPTIONS: readonly Option[] = [
  NODE_NAME,
  CREDENTIALS,
  ...joinOptions().map((option) => option.makeOptionMandatory()),
  LOG_LEVEL,
];

export const INVENTORY_OPTIONS: readonly Option[] = [DATA_DIR, RUN_DIR, CGROUP_ROOT, NATIVE_DIR];
export const CLEAN_OPTIONS: readonly Option[] = [
  ...INVENTORY_OPTIONS,
  new Option("--keep-data", "leave the data folder: another agent finds its pods there"),
];

function number(flags: string, description: string, preset: number, least: number): Option {
  return new Option(flags, description).default(preset).argParser((text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least) throw new Error(`${flags}: "${text}" is not a whole number of at least ${least}`);
    return value;
  });
}
