import { TesseraError } from "@tessera/proto";
import { authenticate } from "../auth/authenticate.ts";
import { authorize } from "../auth/authorize.ts";
import type { TokenTable, UserInfo } from "../auth/tokens.ts";
import type { Metrics, RequestLabels } from "../metrics/metrics.ts";
import { type ApiObject, qualifiedResource, type ResourceDefinition } from "../registry/definition.ts";
import type { ApiDependencies, Call, WritableResource } from "./call.ts";
import type { Connection } from "./connection.ts";
import type { Discovery, VirtualResource } from "./discovery.ts";
import { type HealthCheck, reportHealth } from "./health.ts";
import { type ApiRequest, type ApiResponse, jsonResponse } from "./http.ts";
import { type NodeJoinEndpoint, nodeJoinPath } from "./node-join.ts";
import type { OpenApi } from "./openapi.ts";
import { openApiV2 } from "./openapi-v2.ts";
import { openIdDocument } from "./openid.ts";
import type { ResourceReader } from "./reader.ts";
import { type ResourceRoute, resourceRoutes } from "./routes.ts";
import { toStatus } from "./status.ts";
import { parseResourcePath, type ResourcePath } from "./target.ts";
import { serverVersion } from "./version.ts";

/** A resource as the handler serves it. */
export interface ServedResource {
  readonly reader: ResourceReader;
  /** Absent for what can only be read. */
  readonly resource?: WritableResource;
}

export interface ApiHandlerOptions extends ApiDependencies {
  readonly resources: readonly ServedResource[];
  readonly virtual: readonly VirtualResource[];
  readonly discovery: Discovery;
  readonly metrics: Metrics;
  readonly openApi: OpenApi;
  readonly nodeJoin: NodeJoinEndpoint;
  readonly tokens: TokenTable;
  /** What /readyz asks. */
  readonly readiness: readonly HealthCheck[];
}

const healthPaths = new Set(["/healthz", "/livez", "/readyz"]);

/** Turns requests into answers: who asks, what for, may they, do it. Knows nothing of sockets. */
export class ApiHandler {
  readonly #options: ApiHandlerOptions;
  readonly #resources: ReadonlyMap<string, ServedResource>;
  readonly #virtual: ReadonlyMap<string, VirtualResource>;

  constructor(options: ApiHandlerOptions) {
    this.#options = options;
    this.#resources = new Map(options.resources.map((served) => [resourceKey(served.reader.definition), served]));
    this.#virtual = new Map(options.virtual.map((resource) => [resourceKey(resource), resource]));
  }

  /** Never rejects: errors are answers too. */
  async handle(request: ApiRequest): Promise<ApiResponse | Connection> {
    const startedMs = performance.now();
    const labels: RequestLabels = { verb: request.method.toLowerCase(), resource: "" };
    let user: UserInfo | undefined;
    let answer: ApiResponse | Connection;
    try {
      const open = await this.#answerAnonymous(request);
      if (open !== undefined) answer = open;
      else {
        user = authenticate(request.credentials, this.#options.tokens, this.#options.serviceAccountTokens);
        answer = await this.#answer(request, user, labels);
      }
    } catch (error) {
      answer = this.#refuse(request, error);
    }
    const code = "status" in answer ? answer.status : 101;
    const ms = performance.now() - startedMs;
    const { log } = this.#options;
    if (log.isLevelEnabled("debug")) {
      const { method, path, query } = request;
      log.debug({ method, path, query: query.toString(), code, user: user?.name, ms }, "request");
    }
    return this.#count(answer, labels, code, ms);
  }

  #count(answer: ApiResponse | Connection, labels: RequestLabels, code: number, ms: number): ApiResponse | Connection {
    const { metrics } = this.#options;
    const isConnected = !("status" in answer);
    const isLive = !isConnected && answer.live === true;
    metrics.answered(labels, code, ms / 1000, isConnected || isLive);
    if (!isLive || Buffer.isBuffer(answer.body)) return answer;
    return { ...answer, body: metrics.whileOpen(labels, answer.body) };
  }

  /** What everybody may know, and how a machine becomes somebody. */
  async #answerAnonymous(request: ApiRequest): Promise<ApiResponse | undefined> {
    if (request.path === nodeJoinPath) return this.#options.nodeJoin.answer(request);
    if (request.method !== "GET") return undefined;
    if (request.path === "/version") return jsonResponse(serverVersion);
    if (!healthPaths.has(request.path)) return undefined;
    const checks = request.path === "/livez" ? [] : this.#options.readiness;
    return reportHealth(request.path.slice(1), checks, request.query.has("verbose"));
  }

  async #answer(request: ApiRequest, user: UserInfo, labels: RequestLabels): Promise<ApiResponse | Connection> {
    const path = parseResourcePath(request.path);
    if (path === undefined) {
      this.#authorize(user, request, { verb: request.method.toLowerCase(), resource: "", path: undefined });
      return request.path === "/metrics" ? await this.#answerMetrics(request) : this.#answerDocument(request);
    }
    const key = resourceKey({ group: path.group, version: path.version, plural: path.resource });
    const virtual = this.#virtual.get(key);
    if (virtual !== undefined) {
      labels.resource = qualifiedResource(virtual);
      return this.#answerVirtual(request, user, path, virtual);
    }
    const served = this.#resources.get(key);
    if (served === undefined) throw notServed();
    const { definition } = served.reader;
    checkScope(path, definition);
    const route = findRoute(request, path, definition);
    const resource = path.subresource === "" ? path.resource : `${path.resource}/${path.subresource}`;
    labels.verb = route.verb;
    labels.resource = path.subresource === "" ? qualifiedResource(definition) : `${qualifiedResource(definition)}/${path.subresource}`;
    this.#authorize(user, request, { verb: route.verb, resource, path });
    const call: Call = { request, user, path, reader: served.reader, resource: served.resource, dependencies: this.#options };
    return route.handle(call);
  }

  async #answerVirtual(request: ApiRequest, user: UserInfo, path: ResourcePath, resource: VirtualResource): Promise<ApiResponse> {
    if (path.name !== "" || path.subresource !== "" || (path.namespace !== "") !== resource.namespaced) throw notServed();
    if (request.method !== "POST") throw notAllowed(path);
    this.#authorize(user, request, { verb: "create", resource: path.resource, path });
    return resource.create({ request, user, namespace: path.namespace, nowMs: this.#options.now() });
  }

  async #answerMetrics({ method }: ApiRequest): Promise<ApiResponse> {
    if (method !== "GET") throw notAllowed(undefined);
    const { metrics } = this.#options;
    return { status: 200, headers: { "content-type": metrics.contentType }, body: Buffer.from(await metrics.text()) };
  }

  /** Paths that name no resource: what is served, and in which form. */
  #answerDocument(request: ApiRequest): ApiResponse {
    if (request.method !== "GET")
      throw new TesseraError("MethodNotAllowed", "the server does not allow this method on the requested resource");
    const { discovery, openApi } = this.#options;
    const accept = request.headers.accept;
    const [first, ...rest] = request.path.split("/").filter((segment) => segment !== "");
    let answer: ApiResponse | undefined;
    if (first === undefined)
      answer = jsonResponse({
        paths: [
          ...["/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics"],
          ...["/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"],
        ],
      });
    else if (first === "api") answer = rest.length === 0 ? discovery.core(accept) : discovery.resources("", rest[0] ?? "");
    else if (first === "apis") {
      const [group = "", version] = rest;
      if (rest.length === 0) answer = discovery.groups(accept);
      else answer = version === undefined ? discovery.group(group) : discovery.resources(group, version);
    } else if (first === "openapi" && rest[0] === "v2" && rest.length === 1) answer = openApiV2(accept);
    else if (first === "openapi" && rest[0] === "v3") answer = openApi.answer(rest.slice(1).join("/"));
    else answer = openIdDocument(request, this.#options.serviceAccountTokens);
    if (answer === undefined) throw notServed();
    return answer;
  }

  #authorize(user: UserInfo, request: ApiRequest, what: { verb: string; resource: string; path: ResourcePath | undefined }): void {
    const { verb, resource, path } = what;
    const decision = authorize(user, {
      verb,
      path: request.path,
      group: path?.group ?? "",
      resource,
      namespace: path?.namespace ?? "",
      name: path?.name ?? "",
    });
    if (decision.allowed) return;
    const scope =
      path === undefined ? "" : path.namespace === "" ? " at the cluster scope" : ` in the namespace ${JSON.stringify(path.namespace)}`;
    const object =
      path === undefined
        ? `path ${JSON.stringify(request.path)}`
        : `resource ${JSON.stringify(resource)} in API group ${JSON.stringify(path.group)}`;
    const subject =
      path === undefined
        ? "forbidden"
        : `${resource}${path.group === "" ? "" : `.${path.group}`}${path.name === "" ? "" : ` ${JSON.stringify(path.name)}`} is forbidden`;
    throw new TesseraError(
      "Forbidden",
      `${subject}: User ${JSON.stringify(user.name)} cannot ${verb} ${object}${scope}: ${decision.reason}`,
      {
        details: path === undefined ? {} : { name: path.name, group: path.group, kind: path.resource },
      },
    );
  }

  #refuse(request: ApiRequest, error: unknown): ApiResponse {
    const status = toStatus(error);
    const { method, path } = request;
    if (status.reason === "InternalError") this.#options.log.error({ err: error, method, path }, "request failed");
    const wait = status.details?.retryAfterSeconds;
    const response = jsonResponse(status, status.code);
    return wait === undefined ? response : { ...response, headers: { ...response.headers, "retry-after": String(wait) } };
  }
}

function resourceKey({ group, version, plural }: { readonly group: string; readonly version: string; readonly plural: string }): string {
  return `${group}/${version}/${plural}`;
}

function notServed(): TesseraError {
  return new TesseraError("NotFound", "the server could not find the requested resource");
}

function notAllowed(path: ResourcePath | undefined): TesseraError {
  return new TesseraError("MethodNotAllowed", "the server does not allow this method on the requested resource", {
    details: path === undefined ? {} : { group: path.group, kind: path.resource },
  });
}

/** Objects of a namespaced resource are only found through their namespace, those of the cluster never through one. */
function checkScope(path: ResourcePath, definition: ResourceDefinition<ApiObject>): void {
  const fits = definition.namespaced ? path.name === "" || path.namespace !== "" : path.namespace === "";
  if (!fits) throw notServed();
}

function findRoute(request: ApiRequest, path: ResourcePath, definition: ResourceDefinition<ApiObject>): ResourceRoute {
  const on = path.name === "" ? "collection" : "object";
  const route = resourceRoutes.find(
    (each) =>
      each.method === request.method &&
      each.on === on &&
      each.subresource === path.subresource &&
      (each.resource === undefined || each.resource === path.resource) &&
      (each.when === undefined || each.when(request.query)),
  );
  const subresource = definition.subresources.find((each) => each.name === path.subresource);
  if (path.subresource !== "" && subresource === undefined) throw notServed();
  const verbs: readonly string[] = subresource?.verbs ?? definition.verbs;
  const createsEverywhere = route?.verb === "create" && on === "collection" && definition.namespaced && path.namespace === "";
  if (route === undefined || !verbs.includes(route.verb) || createsEverywhere) {
    throw notAllowed(path);
  }
  return route;
}
