import { join } from "node:path";

/** Where the agent keeps what, below the folders that it is given. */
export function dataPaths(dataDir: string) {
  return {
    images: join(dataDir, "images"),
    pods: join(dataDir, "pods"),
    addresses: join(dataDir, "addresses"),
    seccomp: join(dataDir, "seccomp"),
    network: join(dataDir, "network.json"),
  };
}

/** One folder per sandbox; the network's own folders lie beside it. */
export function sandboxesFolder(runDir: string): string {
  return join(runDir, "sandboxes");
}
