import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { VERSION } from "@tessera/proto";

/** What tsctl takes from its environment. Read once, in main.ts. */
export interface Settings {
  /** Files of $KUBECONFIG, or ~/.kube/config. */
  readonly kubeconfigs: readonly string[];
  /** $TESSERA_DEV_HOME, or /var/lib/tessera-dev: where development clusters are kept. */
  readonly devHome: string;
  /** $TESSERA_DIST, or the folder of the running bundle: where the built programs are. */
  readonly dist: string;
  /** The Node.js that runs tsctl, and the development clusters. */
  readonly node: string;
  readonly version: string;
  /** $KUBE_EDITOR, $EDITOR or vi, perhaps with arguments. */
  readonly editor: string;
  /** $KUBECTL_EXTERNAL_DIFF, or diff: what compares two folders. */
  readonly diff: string;
}

export function readSettings(environment: NodeJS.ProcessEnv, programPath: string): Settings {
  const files = (environment["KUBECONFIG"] ?? "").split(delimiter).filter(Boolean);
  return {
    kubeconfigs: files.length > 0 ? files.map((file) => resolve(file)) : [join(environment["HOME"] || homedir(), ".kube", "config")],
    devHome: resolve(environment["TESSERA_DEV_HOME"] || "/var/lib/tessera-dev"),
    dist: resolve(environment["TESSERA_DIST"] || distOf(programPath)),
    node: process.execPath,
    version: VERSION,
    editor: environment["KUBE_EDITOR"] || environment["EDITOR"] || "vi",
    diff: environment["KUBECTL_EXTERNAL_DIFF"] || "diff -u -N",
  };
}

/** The bundle lies in dist itself; the sources two folders beside it. */
function distOf(programPath: string): string {
  const folder = dirname(programPath);
  return programPath.endsWith(".ts") ? resolve(folder, "../../dist") : folder;
}
