import { TesseraError } from "@tessera/proto";
import type { Api } from "./api.ts";

/** A kind of object that the server serves. */
export interface ApiResource {
  /** "" for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** "pods" */
  readonly plural: string;
  readonly singular: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly string[];
}

interface GroupDiscovery {
  metadata?: { name?: string };
  versions?: {
    version?: string;
    resources?: {
      resource?: string;
      singularResource?: string;
      scope?: string;
      shortNames?: string[];
      categories?: string[];
      verbs?: string[];
      responseKind?: { kind?: string };
    }[];
  }[];
}

const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/** What the server serves: asked once, with two requests. */
export class Discovery {
  readonly resources: readonly ApiResource[];

  constructor(resources: readonly ApiResource[]) {
    this.resources = resources;
  }

  static async read(api: Api, signal?: AbortSignal): Promise<Discovery> {
    const lists = await Promise.all(
      ["/api", "/apis"].map((path) => api.request<{ items?: GroupDiscovery[] }>("GET", path, { accept, signal })),
    );
    return new Discovery(lists.flatMap((list) => list.items ?? []).flatMap(toResources));
  }

  /** Finds by plural, singular, short name or kind, with the group if the word says it: "pods", "po", "Pod", "leases.coordination.k8s.io". */
  find(word: string): ApiResource {
    const found = this.tryFind(word);
    if (found !== undefined) return found;
    throw new TesseraError("NotFound", `the server has no resource type "${word}"; "tsctl api-resources" shows those it has`);
  }

  tryFind(word: string): ApiResource | undefined {
    const lower = word.toLowerCase();
    const [name = "", ...rest] = lower.split(".");
    const group = rest.join(".");
    const fits = (resource: ApiResource) =>
      [resource.plural, resource.singular, resource.kind.toLowerCase(), ...resource.shortNames].includes(name) &&
      (group === "" ||
        group === resource.group ||
        group === `${resource.version}.${resource.group}` ||
        (resource.group === "" && group === resource.version));
    return this.resources.find(fits);
  }

  /** The resource of an object's apiVersion and kind. */
  ofKind(apiVersion: string, kind: string): ApiResource | undefined {
    return this.resources.find((resource) => apiVersionOf(resource) === apiVersion && resource.kind === kind);
  }

  /** Resources of a category such as "all". */
  inCategory(category: string): ApiResource[] {
    return this.resources.filter((resource) => resource.categories.includes(category));
  }
}

function toResources(group: GroupDiscovery): ApiResource[] {
  // The first version is the one that the server prefers.
  const version = group.versions?.[0];
  return (version?.resources ?? []).map((resource) => ({
    group: group.metadata?.name ?? "",
    version: version?.version ?? "",
    kind: resource.responseKind?.kind ?? "",
    plural: resource.resource ?? "",
    singular: resource.singularResource || (resource.responseKind?.kind ?? "").toLowerCase(),
    namespaced: resource.scope === "Namespaced",
    shortNames: resource.shortNames ?? [],
    categories: resource.categories ?? [],
    verbs: resource.verbs ?? [],
  }));
}

export function apiVersionOf(resource: { readonly group: string; readonly version: string }): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

/** The path of a resource's objects, or of one of them. No namespace: over all namespaces. */
export function pathOf(resource: ApiResource, namespace: string | undefined, name?: string): string {
  const root = resource.group === "" ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  const scope = resource.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  return `${root}${scope}/${resource.plural}${name === undefined ? "" : `/${encodeURIComponent(name)}`}`;
}

/** As people write it: "pod", or "lease.coordination.k8s.io". */
export function displayName(resource: ApiResource): string {
  return resource.group === "" ? resource.singular : `${resource.singular}.${resource.group}`;
}
