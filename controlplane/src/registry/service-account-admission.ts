import { type Pod, type PodSpec, type ServiceAccount, TesseraError } from "@tessera/proto";
import type { ResourceCache } from "../store/cache.ts";
import type { Store } from "../store/store.ts";
import { storeKey } from "./encoding.ts";
import { mountToken } from "./kinds/pod/token-mount.ts";
import type { NamespaceGate } from "./namespace-gate.ts";
import { StoredObject } from "./stored-object.ts";

export const defaultServiceAccount = "default";

export interface ServiceAccountAdmissionDependencies {
  readonly cache: ResourceCache<ServiceAccount>;
  readonly store: Store;
  readonly namespaceGate: NamespaceGate;
}

/** Gives each new pod what its service account says: a token to mount, and pull secrets where the pod has none. */
export class ServiceAccountAdmission {
  readonly #deps: ServiceAccountAdmissionDependencies;

  constructor(deps: ServiceAccountAdmissionDependencies) {
    this.#deps = deps;
  }

  /** Changes the pod, at once when the account is known. Throws TesseraError "Forbidden" when there is no such service account. */
  admit(pod: Pod, namespace: string): Promise<void> | undefined {
    const spec = pod.spec;
    if (spec === undefined) return undefined;
    const name = spec.serviceAccountName || defaultServiceAccount;
    const known = this.#deps.cache.get(namespace, name)?.value;
    // A namespace has its default account a moment after it is made, which nobody should have to wait for.
    if (known === undefined && name !== defaultServiceAccount) return this.#admitNew(pod, spec, namespace, name);
    apply(spec, known);
    return undefined;
  }

  /** The cache may not have heard of an account that was made a moment ago. */
  async #admitNew(pod: Pod, spec: PodSpec, namespace: string, name: string): Promise<void> {
    const versioned = await this.#deps.store.read(storeKey("serviceaccounts", namespace, name));
    if (versioned !== undefined) {
      apply(spec, StoredObject.of<ServiceAccount>(versioned).value);
      return;
    }
    const podName = pod.metadata?.name ?? "";
    await this.#deps.namespaceGate.admit(namespace, { group: "", plural: "pods" }, podName);
    throw new TesseraError(
      "Forbidden",
      `pods ${JSON.stringify(podName)} is forbidden: error looking up service account ${namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`,
      { details: { name: podName, kind: "pods" } },
    );
  }
}

function apply(spec: PodSpec, account: ServiceAccount | undefined): void {
  if (spec.automountServiceAccountToken ?? account?.automountServiceAccountToken ?? true) mountToken(spec);
  const pullSecrets = account?.imagePullSecrets ?? [];
  if (pullSecrets.length > 0 && !spec.imagePullSecrets?.length) spec.imagePullSecrets = pullSecrets.map((secret) => ({ ...secret }));
}
