import type { Call } from "./call.ts";
import type { Connection } from "./connection.ts";
import { createObject } from "./create.ts";
import { deleteCollection, deleteObject } from "./delete.ts";
import type { ApiResponse } from "./http.ts";
import { listNodeImages, loadNodeImages, removeNodeImages } from "./node-images.ts";
import { patchObject } from "./patch.ts";
import { bindPod } from "./pod-binding.ts";
import { evictPod } from "./pod-eviction.ts";
import { attachToPod, execInPod } from "./pod-exec.ts";
import { readPodLog } from "./pod-log.ts";
import { forwardPorts } from "./pod-port-forward.ts";
import { explainScheduling } from "./pod-scheduling.ts";
import { getObject, listObjects } from "./read.ts";
import { requestToken } from "./service-account-token.ts";
import { updateObject } from "./update.ts";
import { isTrue, watchObjects } from "./watch.ts";

/** What a method on a resource path means. The first route that fits is taken. */
export interface ResourceRoute {
  /** For authorization, and checked against what the definition allows. */
  readonly verb: string;
  readonly method: string;
  readonly on: "collection" | "object";
  /** Only for this resource; absent: for all. */
  readonly resource?: string;
  /** "" for the object or collection itself. */
  readonly subresource: string;
  readonly when?: (query: URLSearchParams) => boolean;
  readonly handle: (call: Call) => Promise<ApiResponse | Connection>;
}

export const resourceRoutes: readonly ResourceRoute[] = [
  { verb: "watch", method: "GET", on: "collection", subresource: "", when: (query) => isTrue(query.get("watch")), handle: watchObjects },
  { verb: "list", method: "GET", on: "collection", subresource: "", handle: listObjects },
  { verb: "create", method: "POST", on: "collection", subresource: "", handle: createObject },
  { verb: "deletecollection", method: "DELETE", on: "collection", subresource: "", handle: deleteCollection },
  { verb: "get", method: "GET", on: "object", subresource: "", handle: getObject },
  { verb: "update", method: "PUT", on: "object", subresource: "", handle: updateObject },
  { verb: "patch", method: "PATCH", on: "object", subresource: "", handle: patchObject },
  { verb: "delete", method: "DELETE", on: "object", subresource: "", handle: deleteObject },
  { verb: "get", method: "GET", on: "object", subresource: "status", handle: getObject },
  { verb: "update", method: "PUT", on: "object", subresource: "status", handle: updateObject },
  { verb: "patch", method: "PATCH", on: "object", subresource: "status", handle: patchObject },
  { verb: "update", method: "PUT", on: "object", resource: "namespaces", subresource: "finalize", handle: updateObject },
  { verb: "get", method: "GET", on: "object", resource: "pods", subresource: "ephemeralcontainers", handle: getObject },
  { verb: "update", method: "PUT", on: "object", resource: "pods", subresource: "ephemeralcontainers", handle: updateObject },
  { verb: "patch", method: "PATCH", on: "object", resource: "pods", subresource: "ephemeralcontainers", handle: patchObject },
  { verb: "create", method: "POST", on: "object", resource: "serviceaccounts", subresource: "token", handle: requestToken },
  { verb: "create", method: "POST", on: "object", resource: "pods", subresource: "binding", handle: bindPod },
  { verb: "create", method: "POST", on: "object", resource: "pods", subresource: "eviction", handle: evictPod },
  { verb: "get", method: "GET", on: "object", resource: "pods", subresource: "log", handle: readPodLog },
  { verb: "get", method: "GET", on: "object", resource: "pods", subresource: "exec", handle: execInPod },
  { verb: "create", method: "POST", on: "object", resource: "pods", subresource: "exec", handle: execInPod },
  { verb: "get", method: "GET", on: "object", resource: "pods", subresource: "attach", handle: attachToPod },
  { verb: "create", method: "POST", on: "object", resource: "pods", subresource: "attach", handle: attachToPod },
  { verb: "get", method: "GET", on: "object", resource: "pods", subresource: "scheduling", handle: explainScheduling },
  { verb: "get", method: "GET", on: "object", resource: "pods", subresource: "portforward", handle: forwardPorts },
  { verb: "create", method: "POST", on: "object", resource: "pods", subresource: "portforward", handle: forwardPorts },
  { verb: "get", method: "GET", on: "object", resource: "nodes", subresource: "images", handle: listNodeImages },
  { verb: "create", method: "POST", on: "object", resource: "nodes", subresource: "images", handle: loadNodeImages },
  { verb: "delete", method: "DELETE", on: "object", resource: "nodes", subresource: "images", handle: removeNodeImages },
];
