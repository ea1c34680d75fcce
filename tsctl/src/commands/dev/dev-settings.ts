import { homedir } from "node:os";
import { join } from "node:path";
import type { DevSettings } from "@tessera/deploy";
import type { Settings } from "../../settings.ts";

export const defaultClusterName = "dev";

export function devSettings(settings: Settings): DevSettings {
  const [kubeconfig = join(homedir(), ".kube", "config")] = settings.kubeconfigs;
  return { home: settings.devHome, dist: settings.dist, node: settings.node, kubeconfig };
}
