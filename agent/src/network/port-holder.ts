import { readdir, readFile, readlink } from "node:fs/promises";
import { ANY_ADDRESS, type HostPort } from "@tessera/runtime-native";

/** State of a socket that listens, and of a UDP socket that is not connected (include/net/tcp_states.h). */
const LISTENING = { TCP: "0A", UDP: "07" } as const;
const POD_CGROUP = /\/pod([^/\n]+)/g;

export interface PortHolder {
  readonly pid: number;
  readonly command: string;
  /** Uids of pods by the process's cgroups, as far as names of cgroups can tell. */
  readonly podUids: readonly string[];
}

/**
 * The process of this machine that listens on a port of it, for people to read: undefined when there is none any more, when it is the
 * kernel itself, and for SCTP. Looks at every process, so it is for when something went wrong.
 */
export async function findPortHolder(port: HostPort): Promise<PortHolder | undefined> {
  if (port.protocol === "SCTP") return undefined;
  const protocol = port.protocol.toLowerCase();
  const texts = await Promise.all(
    [`/proc/net/${protocol}`, `/proc/net/${protocol}6`].map((path) => readFile(path, "utf8").catch(() => "")),
  );
  const inodes = new Set(texts.flatMap((text) => listeningInodes(text, port)));
  if (inodes.size === 0) return undefined;
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    if (await hasSocket(pid, inodes)) return await describe(pid);
  }
  return undefined;
}

/** Inodes of the sockets in a table as of /proc/net/tcp that have the port at an address that matters; proc(5). */
export function listeningInodes(table: string, { protocol, address, port }: HostPort): string[] {
  if (protocol === "SCTP") return [];
  return table.split("\n").flatMap((line) => {
    const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
    const [hex = "", number = ""] = local.split(":");
    if (Number.parseInt(number, 16) !== port || state !== LISTENING[protocol] || inode === undefined) return [];
    const isMet = address === ANY_ADDRESS || isUnspecified(hex) || lastFourBytes(hex) === address;
    return isMet ? [inode] : [];
  });
}

function isUnspecified(hex: string): boolean {
  return /^0+$/.test(hex);
}

/** Words of 32 bits in the byte order of the machine; an IPv4 address in IPv6 is the last of four. */
function lastFourBytes(hex: string): string {
  const word = Buffer.from(hex.slice(-8), "hex");
  return [...(isLittleEndian ? word.reverse() : word)].join(".");
}

const isLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** False also for a process that has just ended. */
async function hasSocket(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const targets = await Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")));
  return targets.some((target) => inodes.has(/^socket:\[(\d+)\]$/.exec(target)?.[1] ?? ""));
}

async function describe(pid: string): Promise<PortHolder> {
  const [command, cgroups] = await Promise.all(["comm", "cgroup"].map((name) => readFile(`/proc/${pid}/${name}`, "utf8").catch(() => "")));
  const podUids = [...(cgroups ?? "").matchAll(POD_CGROUP)].flatMap(([, uid]) => (uid === undefined ? [] : [uid]));
  return { pid: Number(pid), command: (command ?? "").trim(), podUids };
}
