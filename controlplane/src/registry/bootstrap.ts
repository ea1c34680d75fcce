import { TesseraError } from "@tessera/proto";
import type { Registry } from "./resource.ts";

const systemNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];

/** Makes the namespaces that every cluster has. Does nothing where they exist. */
export async function createSystemNamespaces(registry: Pick<Registry, "namespaces">): Promise<void> {
  await Promise.all(
    systemNamespaces.map(async (name) => {
      if (registry.namespaces.cache.get("", name) !== undefined) return;
      try {
        await registry.namespaces.create({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
      } catch (error) {
        // Another replica was faster.
        if (!(error instanceof TesseraError && error.reason === "AlreadyExists")) throw error;
      }
    }),
  );
}
