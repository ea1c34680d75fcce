import { TesseraError } from "@tessera/proto";
import type { ApiObject } from "../registry/definition.ts";
import type { Call, WritableResource } from "./call.ts";
import { decodeBody } from "./decode.ts";
import { type ApiResponse, withWarnings } from "./http.ts";
import { renderOptions } from "./read.ts";
import { renderObject } from "./render.ts";

/** POST to a collection. */
export async function createObject(call: Call): Promise<ApiResponse> {
  const { path, request } = call;
  const resource = writable(call);
  const options = renderOptions(call);
  const { object, faults, warnings } = await decodeBody<ApiObject>(request, resource.definition);
  checkNamespace(object, path.namespace, resource.definition.namespaced);
  const result = await resource.createObject(object, path.namespace, { faults, dryRun: parseDryRun(request.query) });
  const ofKind = resource.definition.strategy.warnings?.(object) ?? [];
  return withWarnings(renderObject(result.object, options, 201), [...warnings, ...ofKind]);
}

/** The resource of a call. Routes send only reads to those that cannot be written. */
export function writable(call: Call): WritableResource {
  if (call.resource !== undefined) return call.resource;
  throw new TesseraError("MethodNotAllowed", `${call.path.resource} cannot be written through the API`);
}

/** Whether only to try: `dryRun=All`. */
export function parseDryRun(query: URLSearchParams, fromBody: readonly string[] = []): boolean {
  const values = [...query.getAll("dryRun"), ...fromBody].filter((value) => value !== "");
  const other = values.find((value) => value !== "All");
  if (other !== undefined)
    throw new TesseraError("BadRequest", `dryRun: Unsupported value: ${JSON.stringify(other)}: supported values: "All"`);
  return values.length > 0;
}

/** An object may leave its namespace out, but not contradict the URL. */
export function checkNamespace(object: ApiObject, namespace: string, namespaced: boolean): void {
  const sent = object.metadata?.namespace ?? "";
  if (!namespaced || sent === "" || sent === namespace) return;
  throw new TesseraError("BadRequest", "the namespace of the provided object does not match the namespace sent on the request");
}
