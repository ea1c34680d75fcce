import { join } from "node:path";
import type { Pod } from "@tessera/proto";
import { TesseraError } from "@tessera/proto";
import type { ClusterNode } from "./cluster-file.ts";
import { runCommand } from "./command.ts";
import { nodeCgroupRoot, nodeDataFolder, nodeRunFolder } from "./node-host.ts";
import type { DevSettings } from "./settings.ts";

/** Something of a pod that the kernel or the disk of a node holds. */
export interface InventoryItem {
  /** "shim", "process", "link", "mount", "cgroup", "address", "folder", ... */
  readonly kind: string;
  /** Its name, path or number. */
  readonly name: string;
  /** The pod that it belongs to; empty when nothing says whose it is. */
  readonly podUid: string;
}

/** Asks the agent's program, inside the node's namespaces, what is there. The agent itself need not run. */
export async function readInventory(node: ClusterNode, pid: number, settings: DevSettings, signal?: AbortSignal): Promise<InventoryItem[]> {
  const enter: [string, ...string[]] = [
    "nsenter",
    "--target",
    String(pid),
    "--mount",
    "--net",
    "--uts",
    "--ipc",
    "--pid",
    "--cgroup",
    "--",
  ];
  const result = await runCommand(
    [
      ...enter,
      settings.node,
      join(settings.dist, "agent.mjs"),
      "inventory",
      ...["--data-dir", nodeDataFolder],
      ...["--run-dir", nodeRunFolder],
      ...["--cgroup-root", nodeCgroupRoot],
      ...["--native-dir", settings.dist],
    ],
    { signal, cwd: "/" },
  );
  if (result.code !== 0) throw new TesseraError("InternalError", `${node.name}: the inventory failed: ${result.stderr.trim()}`);
  return parseInventory(result.stdout, node.name);
}

export function parseInventory(text: string, node: string): InventoryItem[] {
  const wrong = (cause?: unknown) =>
    new TesseraError("InternalError", `${node}: the inventory is not what tsctl expects: ${text.slice(0, 200)}`, { cause });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrong(cause);
  }
  const items = typeof value === "object" && value !== null && "items" in value ? value.items : value;
  if (!Array.isArray(items)) throw wrong();
  return items.map((item) => {
    if (typeof item?.kind !== "string" || typeof item.name !== "string") throw wrong();
    return { kind: item.kind, name: item.name, podUid: typeof item.podUid === "string" ? item.podUid : "" };
  });
}

/** What the node holds of pods that the API does not know there, or of no pod at all. */
export function findStrangers(items: readonly InventoryItem[], pods: readonly Pod[], node: string): InventoryItem[] {
  const known = new Set(pods.filter((pod) => pod.spec?.nodeName === node).map((pod) => pod.metadata?.uid));
  return items.filter((item) => !known.has(item.podUid));
}
