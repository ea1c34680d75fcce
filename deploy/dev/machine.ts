import { readFile } from "node:fs/promises";
import { mustRun } from "./command.ts";
import { type Ipv4Block, parseBlock } from "./ipv4.ts";
import type { Taken } from "./plan.ts";
import { readHeldPorts } from "./ports.ts";

/** A network link as `ip -j -d link` tells it. */
export interface Link {
  readonly name: string;
  readonly mtu: number;
  readonly up: boolean;
  /** The bridge that it is a port of. */
  readonly master?: string;
  /** "bridge", "veth", ... */
  readonly kind?: string;
}

export async function readLinks(): Promise<Link[]> {
  const rows = parseRows(await mustRun(["ip", "-j", "-d", "link", "show"]));
  return rows.map((row) => ({
    name: String(row["ifname"]),
    mtu: Number(row["mtu"]),
    up: Array.isArray(row["flags"]) && row["flags"].includes("UP"),
    master: typeof row["master"] === "string" ? row["master"] : undefined,
    kind: kindOf(row["linkinfo"]),
  }));
}

function kindOf(linkinfo: unknown): string | undefined {
  if (typeof linkinfo !== "object" || linkinfo === null || !("info_kind" in linkinfo)) return undefined;
  return String(linkinfo.info_kind);
}

/** What a new cluster must not clash with, apart from the other clusters. */
export async function readTaken(links: readonly Link[]): Promise<Omit<Taken, "clusters">> {
  const rows = parseRows(await mustRun(["ip", "-j", "-4", "route", "show", "table", "all"]));
  const routes: Ipv4Block[] = [];
  for (const row of rows) {
    const block = parseBlock(String(row["dst"]));
    if (block !== undefined) routes.push(block);
  }
  return {
    routes,
    links: new Set(links.map((link) => link.name)),
    ports: new Set([...(await readListeningPorts()), ...(await readHeldPorts())]),
  };
}

/** Largest packet that leaves this machine: the link of the default route, or the usual 1500. */
export async function readOutsideMtu(links: readonly Link[]): Promise<number> {
  const rows = parseRows(await mustRun(["ip", "-j", "-4", "route", "show", "default"]));
  const outside = links.find((link) => link.name === rows[0]?.["dev"]);
  return Math.min(1500, outside?.mtu ?? 1500);
}

function parseRows(json: string): Record<string, unknown>[] {
  // `ip -j` prints nothing at all for an empty table in some versions.
  return json.trim() === "" ? [] : JSON.parse(json);
}

async function readListeningPorts(): Promise<Set<number>> {
  const ports = new Set<number>();
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const text = await readFile(file, "utf8").catch(() => "");
    for (const [, port, state] of text.matchAll(/^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2})/gm)) {
      if (state === "0A" && port !== undefined) ports.add(Number.parseInt(port, 16));
    }
  }
  return ports;
}
