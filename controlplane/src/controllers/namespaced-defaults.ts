import type { Namespace } from "@tessera/proto";
import type { ResourceCache } from "../store/cache.ts";
import { cacheLoop, changesOf } from "./cache-loop.ts";
import type { ControlLoop } from "./control-loop.ts";
import type { ControllerDependencies } from "./dependencies.ts";
import { unless } from "./expected-errors.ts";

/** The ConfigMap with the cluster's CA, which pods mount beside their token. */
export const ROOT_CA_CONFIG_MAP = "kube-root-ca.crt";
const DEFAULT_SERVICE_ACCOUNT = "default";

/** Every namespace has a ServiceAccount "default". */
export function defaultServiceAccounts({ registry, clock, log }: ControllerDependencies): ControlLoop {
  const { namespaces, serviceAccounts } = registry;
  return cacheLoop({
    name: "default-service-accounts",
    clock,
    log,
    sources: [
      changesOf(namespaces.cache, ({ name }, type) => (type === "DELETED" ? [] : [name])),
      changesOf(serviceAccounts.cache, ({ namespace, name }, type) =>
        type === "DELETED" && name === DEFAULT_SERVICE_ACCOUNT ? [namespace] : [],
      ),
    ],
    async reconcile(namespace) {
      if (!isActive(namespaces.cache, namespace) || serviceAccounts.cache.get(namespace, DEFAULT_SERVICE_ACCOUNT)) return undefined;
      const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: DEFAULT_SERVICE_ACCOUNT, namespace } };
      // Forbidden, NotFound: the namespace is on its way out.
      await unless(["AlreadyExists", "Forbidden", "NotFound"], serviceAccounts.create(account));
      return undefined;
    },
  });
}

/** Every namespace has a ConfigMap kube-root-ca.crt, and nobody may change what it says. */
export function rootCertificates({ registry, clock, log, clusterCaPem }: ControllerDependencies): ControlLoop {
  const { namespaces, configMaps } = registry;
  const data = { "ca.crt": clusterCaPem };
  return cacheLoop({
    name: "root-certificates",
    clock,
    log,
    sources: [
      changesOf(namespaces.cache, ({ name }, type) => (type === "DELETED" ? [] : [name])),
      changesOf(configMaps.cache, ({ namespace, name }) => (name === ROOT_CA_CONFIG_MAP ? [namespace] : [])),
    ],
    async reconcile(namespace) {
      if (!isActive(namespaces.cache, namespace)) return undefined;
      const current = configMaps.cache.get(namespace, ROOT_CA_CONFIG_MAP)?.value;
      if (!current) {
        const map = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: ROOT_CA_CONFIG_MAP, namespace }, data };
        await unless(["AlreadyExists", "Forbidden", "NotFound"], configMaps.create(map));
      } else if (current.data?.["ca.crt"] !== clusterCaPem) {
        await unless(
          ["NotFound"],
          configMaps.mutate(namespace, ROOT_CA_CONFIG_MAP, (map) => ({ ...map, data })),
        );
      }
      return undefined;
    },
  });
}

function isActive(namespaces: ResourceCache<Namespace>, name: string): boolean {
  const namespace = namespaces.get("", name)?.value;
  return namespace !== undefined && !namespace.metadata?.deletionTimestamp;
}
