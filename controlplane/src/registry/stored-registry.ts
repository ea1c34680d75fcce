import type { ConfigMap, Lease, Namespace, Node, Pod, PodDisruptionBudget, Secret, ServiceAccount } from "@tessera/proto";
import type { ResourceCache } from "../store/cache.ts";
import type { Store } from "../store/store.ts";
import type { ApiObject, ResourceDefinition } from "./definition.ts";
import { definitions } from "./definitions.ts";
import { NamespaceGate } from "./namespace-gate.ts";
import type { Registry } from "./resource.ts";
import { admitRuntimeClass } from "./runtime-class-admission.ts";
import { ServiceAccountAdmission } from "./service-account-admission.ts";
import { StoredResource } from "./stored-resource.ts";

/** Where the caches of all resources come from; `WatchCache` is one. */
export interface CacheSource {
  cacheOf<T>(plural: string): ResourceCache<T>;
}

/** All resources that lie in the store. */
export class StoredRegistry implements Registry {
  readonly pods: StoredResource<Pod>;
  readonly nodes: StoredResource<Node>;
  readonly namespaces: StoredResource<Namespace>;
  readonly configMaps: StoredResource<ConfigMap>;
  readonly secrets: StoredResource<Secret>;
  readonly serviceAccounts: StoredResource<ServiceAccount>;
  readonly leases: StoredResource<Lease>;
  readonly podDisruptionBudgets: StoredResource<PodDisruptionBudget>;

  constructor(dependencies: { store: Store; caches: CacheSource; now?: () => number }) {
    const { store, caches, now = Date.now } = dependencies;
    const namespaceGate = new NamespaceGate({ cache: caches.cacheOf<Namespace>(definitions.namespaces.plural), store });
    const serviceAccounts = new ServiceAccountAdmission({
      cache: caches.cacheOf<ServiceAccount>(definitions.serviceAccounts.plural),
      store,
      namespaceGate,
    });
    const resource = <T extends ApiObject>(
      definition: ResourceDefinition<T>,
      admission?: (object: T, namespace: string) => Promise<void> | undefined,
    ): StoredResource<T> =>
      new StoredResource<T>({
        admission,
        definition,
        store,
        cache: caches.cacheOf<T>(definition.plural),
        namespaceGate: definition.namespaced ? namespaceGate : undefined,
        now,
      });
    this.pods = resource<Pod>(definitions.pods, (pod, namespace) => {
      admitRuntimeClass(pod);
      return serviceAccounts.admit(pod, namespace);
    });
    this.nodes = resource(definitions.nodes);
    this.namespaces = resource(definitions.namespaces);
    this.configMaps = resource(definitions.configMaps);
    this.secrets = resource(definitions.secrets);
    this.serviceAccounts = resource(definitions.serviceAccounts);
    this.leases = resource(definitions.leases);
    this.podDisruptionBudgets = resource(definitions.podDisruptionBudgets);
  }

  /** Every resource, for those that treat all alike. */
  all(): readonly StoredResource<ApiObject>[] {
    const { pods, nodes, namespaces, configMaps, secrets, serviceAccounts, leases, podDisruptionBudgets } = this;
    return [pods, nodes, namespaces, configMaps, secrets, serviceAccounts, leases, podDisruptionBudgets].map(
      (resource) => resource as unknown as StoredResource<ApiObject>,
    );
  }
}
