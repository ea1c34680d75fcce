import { TesseraError } from "@tessera/proto";
import { type ApiResource, displayName } from "../api/discovery.ts";
import type { ClusterContext } from "../command.ts";
import type { Manifest } from "./read-manifests.ts";

/** Where an object of a manifest belongs on the server. */
export interface Placement {
  readonly resource: ApiResource;
  /** Undefined for objects of the cluster. */
  readonly namespace: string | undefined;
}

/** Throws TesseraError "Invalid" when the server has no such kind, or -n and the manifest name different namespaces. */
export async function placeManifest(manifest: Manifest, cluster: ClusterContext): Promise<Placement> {
  const resource = await resourceOf(manifest, cluster);
  return { resource, namespace: namespaceOf(manifest, resource, cluster) };
}

async function resourceOf({ object }: Manifest, cluster: ClusterContext): Promise<ApiResource> {
  const resource = (await cluster.discovery()).ofKind(object.apiVersion ?? "", object.kind ?? "");
  if (resource !== undefined) return resource;
  const message = `the server has no kind "${object.kind}" in ${object.apiVersion}; "tsctl api-resources" shows those it has`;
  throw new TesseraError("Invalid", message, { causes: [{ reason: "FieldValueNotSupported", field: "kind", message }] });
}

function namespaceOf({ object }: Manifest, resource: ApiResource, cluster: ClusterContext): string | undefined {
  if (!resource.namespaced) return undefined;
  const own = object.metadata?.namespace;
  if (own === undefined || own === "" || !cluster.namespaceIsForced || own === cluster.namespace) return own || cluster.namespace;
  const message = `the manifest says "${own}", the command line -n ${cluster.namespace}`;
  throw new TesseraError("Invalid", message, { causes: [{ reason: "FieldValueInvalid", field: "metadata.namespace", message }] });
}

/** The name that is in the manifest. Throws TesseraError "Invalid" when there is only a generateName, or none. */
export function nameIn({ object }: Manifest, resource: ApiResource): string {
  if (object.metadata?.name) return object.metadata.name;
  const message = `metadata.name is missing: which ${displayName(resource)} is meant?`;
  throw new TesseraError("Invalid", message, { causes: [{ reason: "FieldValueRequired", field: "metadata", message }] });
}
