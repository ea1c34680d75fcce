import type { APIGroup, APIGroupDiscovery, APIResource, APIResourceDiscovery, APIResourceList } from "@tessera/proto";
import type { UserInfo } from "../auth/tokens.ts";
import type { AnyDefinition } from "../registry/definitions.ts";
import { negotiate } from "./accept.ts";
import { type ApiRequest, type ApiResponse, jsonResponse } from "./http.ts";

/** A resource without objects: a POST is answered at once. */
export interface VirtualResource {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  create(call: VirtualCall): Promise<ApiResponse>;
}

/** A POST to a resource without objects. */
export interface VirtualCall {
  readonly request: ApiRequest;
  readonly user: UserInfo;
  /** "" for resources of the cluster. */
  readonly namespace: string;
  readonly nowMs: number;
}

type Group = { readonly name: string; readonly version: string; readonly resources: (AnyDefinition | VirtualResource)[] };

/** What the server serves, in all the forms that clients ask for. Computed from the definitions, once. */
export class Discovery {
  readonly #groups: readonly Group[];

  constructor(definitions: readonly AnyDefinition[], virtual: readonly VirtualResource[]) {
    const groups = new Map<string, Group>();
    for (const resource of [...definitions, ...virtual].sort((one, other) => one.plural.localeCompare(other.plural))) {
      const { group: name, version } = resource;
      const key = `${name}/${version}`;
      const group = groups.get(key) ?? { name, version, resources: [] };
      group.resources.push(resource);
      groups.set(key, group);
    }
    this.#groups = [...groups.values()];
  }

  /** Every group and version with what it serves, subresources included. */
  get groupVersions(): readonly { readonly group: string; readonly version: string; readonly resources: readonly APIResource[] }[] {
    return this.#groups.map(({ name, version, resources }) => ({ group: name, version, resources: resources.flatMap(toApiResources) }));
  }

  /** /api */
  core(accept: string | undefined): ApiResponse {
    const { form, version } = negotiate(accept, ["object", "aggregated-discovery"]);
    if (form === "aggregated-discovery") return this.#aggregated(version, (group) => group.name === "");
    return jsonResponse({ kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] });
  }

  /** /apis */
  groups(accept: string | undefined): ApiResponse {
    const { form, version } = negotiate(accept, ["object", "aggregated-discovery"]);
    if (form === "aggregated-discovery") return this.#aggregated(version, (group) => group.name !== "");
    const groups = this.#groups.filter((group) => group.name !== "").map(toApiGroup);
    return jsonResponse({ kind: "APIGroupList", apiVersion: "v1", groups });
  }

  /** /apis/GROUP */
  group(name: string): ApiResponse | undefined {
    const group = this.#groups.find((each) => each.name === name && name !== "");
    return group && jsonResponse({ kind: "APIGroup", apiVersion: "v1", ...toApiGroup(group) });
  }

  /** /api/v1 and /apis/GROUP/VERSION */
  resources(groupName: string, version: string): ApiResponse | undefined {
    const group = this.#groups.find((each) => each.name === groupName && each.version === version);
    if (group === undefined) return undefined;
    const list: APIResourceList = {
      kind: "APIResourceList",
      groupVersion: groupVersion(group),
      resources: group.resources.flatMap(toApiResources),
    };
    return jsonResponse({ apiVersion: "v1", ...list });
  }

  #aggregated(version: string, isWanted: (group: Group) => boolean): ApiResponse {
    const items: APIGroupDiscovery[] = this.#groups.filter(isWanted).map((group) => ({
      metadata: { ...(group.name === "" ? {} : { name: group.name }) },
      versions: [{ version: group.version, resources: group.resources.map(toDiscovery), freshness: "Current" }],
    }));
    const body = { kind: "APIGroupDiscoveryList", apiVersion: `apidiscovery.k8s.io/${version}`, metadata: {}, items };
    return jsonResponse(body, 200, `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`);
  }
}

function groupVersion(group: Group): string {
  return group.name === "" ? group.version : `${group.name}/${group.version}`;
}

function toApiGroup(group: Group): APIGroup {
  const version = { groupVersion: groupVersion(group), version: group.version };
  return { name: group.name, versions: [version], preferredVersion: version };
}

function isDefined(resource: AnyDefinition | VirtualResource): resource is AnyDefinition {
  return "strategy" in resource;
}

function toApiResources(resource: AnyDefinition | VirtualResource): APIResource[] {
  const { plural: name, singular: singularName, namespaced, kind, verbs } = resource;
  const main: APIResource = { name, singularName, namespaced, kind, verbs: [...verbs] };
  if (!isDefined(resource)) return [main];
  if (resource.shortNames.length > 0) main.shortNames = [...resource.shortNames];
  if (resource.categories.length > 0) main.categories = [...resource.categories];
  const subresources = resource.subresources.map((subresource): APIResource => {
    const { group, version, kind: subKind } = subresource.kind;
    const isForeign = group !== resource.group || version !== resource.version;
    return {
      name: `${name}/${subresource.name}`,
      singularName: "",
      namespaced,
      ...(isForeign ? { group, version } : {}),
      kind: subKind,
      verbs: [...subresource.verbs],
    };
  });
  return [main, ...subresources];
}

function toDiscovery(resource: AnyDefinition | VirtualResource): APIResourceDiscovery {
  const { group, version, kind, plural, singular, namespaced, verbs } = resource;
  const main: APIResourceDiscovery = {
    resource: plural,
    responseKind: { group, version, kind },
    scope: namespaced ? "Namespaced" : "Cluster",
    singularResource: singular,
    verbs: [...verbs],
  };
  if (!isDefined(resource)) return main;
  if (resource.shortNames.length > 0) main.shortNames = [...resource.shortNames];
  if (resource.categories.length > 0) main.categories = [...resource.categories];
  if (resource.subresources.length > 0) {
    main.subresources = resource.subresources.map((subresource) => ({
      subresource: subresource.name,
      responseKind: { ...subresource.kind },
      verbs: [...subresource.verbs],
    }));
  }
  return main;
}
