import { TesseraError } from "@tessera/proto";
import { stringify } from "yaml";
import { ClusterFolder, contextName, readCluster } from "./cluster-file.ts";
import { type AdminAccess, addToKubeconfig, readAdminAccess } from "./kubeconfig.ts";
import type { DevSettings } from "./settings.ts";

/** A kubeconfig for one cluster alone, as text. */
export async function clusterKubeconfig(name: string, settings: DevSettings): Promise<string> {
  const access = await readAccess(name, settings);
  const context = contextName(name);
  return stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: context, cluster: { server: access.server, "certificate-authority-data": access.certificateAuthority } }],
      users: [{ name: context, user: { "client-certificate-data": access.clientCertificate, "client-key-data": access.clientKey } }],
      contexts: [{ name: context, context: { cluster: context, user: context } }],
      "current-context": context,
    },
    { lineWidth: 0 },
  );
}

/** Adds the cluster's context to the kubeconfig file of the settings and makes it the current one. Returns its name. */
export async function mergeKubeconfig(name: string, settings: DevSettings): Promise<string> {
  await addToKubeconfig(settings.kubeconfig, contextName(name), await readAccess(name, settings));
  return contextName(name);
}

/** How to reach a cluster that has a control plane. */
export async function readAccess(name: string, settings: DevSettings): Promise<AdminAccess> {
  const folder = new ClusterFolder(settings.home, name);
  if ((await readCluster(folder)) === undefined) throw noSuchCluster(name);
  return await readAdminAccess(folder.adminKubeconfig).catch((cause) => {
    throw new TesseraError("NotFound", `cluster "${name}" has no control plane yet; "tsctl dev up --name ${name}" brings it up`, { cause });
  });
}

export function noSuchCluster(name: string): TesseraError {
  return new TesseraError(
    "NotFound",
    `there is no cluster "${name}"; "tsctl dev list" shows those there are, "tsctl dev up --name ${name}" makes it`,
  );
}
