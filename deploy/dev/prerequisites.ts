import { access, constants, mkdir, readFile, statfs } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { TesseraError } from "@tessera/proto";
import { readHierarchies } from "./cgroups.ts";
import { runCommand } from "./command.ts";
import type { DevSettings } from "./settings.ts";

/** Something that a development cluster needs, and what to do when it is not there. */
interface Prerequisite {
  readonly missing: string;
  readonly isMet: (settings: DevSettings) => Promise<boolean>;
}

const programs = ["controlplane.mjs", "agent.mjs", "tessera-host", "tessera-shim", "libtessera.so"];
const overlayMagic = 0x794c7630;

const prerequisites: readonly Prerequisite[] = [
  { missing: `development clusters need Linux; this is ${process.platform}`, isMet: async () => process.platform === "linux" },
  { missing: "development clusters need root; run the same command with sudo", isMet: async () => process.getuid?.() === 0 },
  { missing: 'the kernel has no overlayfs (no "overlay" in /proc/filesystems, and modprobe cannot load it)', isMet: hasOverlay },
  { missing: "no cgroup controllers are mounted below /sys/fs/cgroup", isMet: async () => (await readHierarchies()).length > 0 },
  ...["ip", "nft", "nsenter", "setpriv"].map(
    (program): Prerequisite => ({
      missing: `the program "${program}" is not installed; on Debian: apt-get install iproute2 nftables util-linux`,
      isMet: async () => await isInstalled(program),
    }),
  ),
  ...["etcd", "nats-server"].map(
    (program): Prerequisite => ({
      missing: `the program "${program}" is not installed; on Debian: apt-get install etcd-server nats-server`,
      isMet: async () => await isInstalled(program),
    }),
  ),
  ...programs.map(
    (program): Prerequisite => ({
      missing: `dist/${program} was not built yet; run "npm run build" in the repository`,
      isMet: async ({ dist }) => await isReadable(join(dist, program)),
    }),
  ),
  {
    missing:
      "the folder of the clusters lies on an overlayfs, which cannot hold the writable layers of containers; set TESSERA_DEV_HOME to a folder on a disk",
    isMet: async ({ home }) => (await statfs(await nearestFolder(home))).type !== overlayMagic,
  },
];

/** Throws with one line on the first thing that is missing on this machine. */
export async function checkPrerequisites(settings: DevSettings): Promise<void> {
  for (const prerequisite of prerequisites) {
    if (!(await prerequisite.isMet(settings))) throw new TesseraError("BadRequest", prerequisite.missing);
  }
}

/** What even taking a cluster down needs. */
export async function checkRoot(): Promise<void> {
  for (const prerequisite of prerequisites.slice(0, 2)) {
    if (!(await prerequisite.isMet({ home: "", dist: "", node: "", kubeconfig: "" })))
      throw new TesseraError("BadRequest", prerequisite.missing);
  }
}

async function hasOverlay(): Promise<boolean> {
  const isListed = async () => /^(nodev)?\s*overlay$/m.test(await readFile("/proc/filesystems", "utf8"));
  if (await isListed()) return true;
  await runCommand(["modprobe", "overlay"]).catch(() => {});
  return await isListed();
}

async function isReadable(path: string): Promise<boolean> {
  return await access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}

async function isInstalled(program: string): Promise<boolean> {
  // Where Debian has its administrators' programs, whether the caller's PATH knows or not.
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  for (const folder of folders) if (await isReadable(join(folder, program))) return true;
  return false;
}

async function nearestFolder(path: string): Promise<string> {
  if (await isReadable(path)) return path;
  const parent = dirname(path);
  if (parent !== path) return await nearestFolder(parent);
  await mkdir(path, { recursive: true });
  return path;
}
