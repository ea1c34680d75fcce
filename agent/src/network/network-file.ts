import { open, readFile, rename } from "node:fs/promises";
import type { PeerNode } from "@tessera/runtime-native";

/** What the control plane said of the network last, so that a restarted agent does not need it to run its pods. */
export interface NetworkFile {
  readonly podCidr: string;
  readonly clusterCidr: string;
  readonly peers: readonly PeerNode[];
}

/** Undefined when there is none, or when what is there makes no sense. */
export async function readNetworkFile(path: string): Promise<NetworkFile | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    return isNetworkFile(value) ? value : undefined;
  } catch {
    // Whatever is wrong with it, the control plane says it again at the next welcome.
    return undefined;
  }
}

export async function writeNetworkFile(path: string, content: NetworkFile): Promise<void> {
  const file = await open(`${path}.new`, "w", 0o600);
  try {
    await file.writeFile(JSON.stringify(content));
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
}

function isNetworkFile(value: unknown): value is NetworkFile {
  if (typeof value !== "object" || value === null) return false;
  const { podCidr, clusterCidr, peers } = value as Partial<Record<keyof NetworkFile, unknown>>;
  return typeof podCidr === "string" && typeof clusterCidr === "string" && Array.isArray(peers) && peers.every(isPeer);
}

function isPeer(value: unknown): value is PeerNode {
  const peer = value as Partial<PeerNode> | null;
  return typeof peer?.nodeAddress === "string" && typeof peer.podCidr === "string";
}
