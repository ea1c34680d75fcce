import { type Namespace, TesseraError } from "@tessera/proto";
import type { ResourceCache } from "../store/cache.ts";
import type { Store } from "../store/store.ts";
import { qualifiedResource } from "./definition.ts";
import { storeKey } from "./encoding.ts";
import { StoredObject } from "./stored-object.ts";

/** Lets new objects only into namespaces that exist and are not on their way out. */
export class NamespaceGate {
  readonly #cache: ResourceCache<Namespace>;
  readonly #store: Store;

  constructor(dependencies: { cache: ResourceCache<Namespace>; store: Store }) {
    this.#cache = dependencies.cache;
    this.#store = dependencies.store;
  }

  /** Throws TesseraError "NotFound" (no such namespace) or "Forbidden" (terminating). */
  async admit(namespace: string, resource: { readonly group: string; readonly plural: string }, name: string): Promise<void> {
    const found = this.#cache.get("", namespace)?.value ?? (await this.#read(namespace));
    if (found === undefined) {
      throw new TesseraError("NotFound", `namespaces ${JSON.stringify(namespace)} not found`, {
        details: { name: namespace, kind: "namespaces" },
      });
    }
    if (found.metadata?.deletionTimestamp === undefined) return;
    throw new TesseraError(
      "Forbidden",
      `${qualifiedResource(resource)} ${JSON.stringify(name)} is forbidden: unable to create new content in namespace ${namespace} because it is being terminated`,
      {
        details: { name, group: resource.group, kind: resource.plural },
        causes: [{ reason: "NamespaceTerminating", message: `namespace ${namespace} is being terminated`, field: "metadata.namespace" }],
      },
    );
  }

  /** The cache may not have heard of a namespace that was made a moment ago. */
  async #read(namespace: string): Promise<Namespace | undefined> {
    const versioned = await this.#store.read(storeKey("namespaces", "", namespace));
    return versioned && StoredObject.of<Namespace>(versioned).value;
  }
}
