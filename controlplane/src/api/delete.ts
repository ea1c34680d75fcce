import { type DeleteOptions, TesseraError } from "@tessera/proto";
import { type PropagationPolicy, propagationPolicies } from "../registry/deletion.ts";
import { invalidObject } from "../registry/faults.ts";
import type { DeleteRequest } from "../registry/stored-resource.ts";
import { contentType, readBody } from "./body.ts";
import type { Call } from "./call.ts";
import { parseDryRun, writable } from "./create.ts";
import { decodeValue, parseBody } from "./decode.ts";
import { type ApiResponse, jsonResponse } from "./http.ts";
import { parseCount, parseSelection, renderOptions } from "./read.ts";
import { renderList, renderObject } from "./render.ts";
import { successStatus } from "./status.ts";

const deleteOptionsKind = { group: "", version: "v1", kind: "DeleteOptions" };
/** Objects that a deletion of many removes at the same time. */
const deletesAtOnce = 32;

/** DELETE of one object. Answers with the object if the kind does so or the object stays for now, else with a Status. */
export async function deleteObject(call: Call): Promise<ApiResponse> {
  const { path, request } = call;
  const resource = writable(call);
  const options = renderOptions(call);
  const wish = toDeleteRequest(await readDeleteOptions(call), request.query);
  const { object, removed } = await resource.deleteObject(path.namespace, path.name, wish);
  if (!removed || resource.definition.returnsDeletedObject) return renderObject(object, options);
  const { group, plural: kind } = resource.definition;
  return jsonResponse(successStatus({ name: path.name, ...(group === "" ? {} : { group }), kind, uid: object.uid }));
}

/** DELETE of a collection: each selected object as by itself; those that others removed meanwhile count as done. */
export async function deleteCollection(call: Call): Promise<ApiResponse> {
  const { path, request, reader } = call;
  const resource = writable(call);
  const options = renderOptions(call);
  const wish = toDeleteRequest(await readDeleteOptions(call), request.query);
  const list = await reader.list({
    selection: parseSelection(call),
    resourceVersion: request.query.get("resourceVersion") ?? "",
    resourceVersionMatch: request.query.get("resourceVersionMatch") ?? "",
    limit: parseCount(request.query, "limit"),
    continueToken: request.query.get("continue") ?? "",
    signal: request.signal,
  });
  for (let start = 0; start < list.items.length; start += deletesAtOnce) {
    const removals = list.items.slice(start, start + deletesAtOnce).map(async (object) => {
      try {
        await resource.deleteObject(object.namespace || path.namespace, object.name, wish);
      } catch (error) {
        if (!(error instanceof TesseraError && error.reason === "NotFound")) throw error;
      }
    });
    await Promise.all(removals);
  }
  return renderList(list, options);
}

/** DeleteOptions come in the body, in the query, or not at all. */
async function readDeleteOptions(call: Call): Promise<DeleteOptions> {
  const body = await readBody(call.request);
  if (body.length === 0) return {};
  const { value, locate } = parseBody(body, contentType(call.request), deleteOptionsKind);
  // Clients name the version of the object's own group here.
  const options = typeof value === "object" && value !== null ? { ...value, apiVersion: "v1" } : value;
  const { object, faults } = decodeValue<DeleteOptions>(options, deleteOptionsKind, "Warn", { locate });
  if (faults.length > 0) throw invalidObject("DeleteOptions", "", "", faults);
  return object;
}

export function toDeleteRequest(options: DeleteOptions, query: URLSearchParams): DeleteRequest {
  const grace = query.get("gracePeriodSeconds");
  const graceSeconds = options.gracePeriodSeconds ?? (grace === null ? undefined : parseCount(query, "gracePeriodSeconds"));
  if (graceSeconds !== undefined && graceSeconds < 0) {
    throw new TesseraError(
      "Invalid",
      `DeleteOptions is invalid: gracePeriodSeconds: Invalid value: ${graceSeconds}: must be greater than or equal to 0`,
    );
  }
  return {
    graceSeconds,
    propagation: propagationOf(options, query),
    preconditions: options.preconditions,
    dryRun: parseDryRun(query, options.dryRun ?? []),
  };
}

function propagationOf({ propagationPolicy, orphanDependents }: DeleteOptions, query: URLSearchParams): PropagationPolicy | undefined {
  const policy = propagationPolicy ?? query.get("propagationPolicy") ?? undefined;
  const refuse = (what: string) => new TesseraError("Invalid", `DeleteOptions is invalid: propagationPolicy: ${what}`);
  if (orphanDependents !== undefined) {
    if (policy !== undefined) throw refuse("Invalid value: orphanDependents and propagationPolicy cannot be both set");
    return orphanDependents ? "Orphan" : "Background";
  }
  if (policy === undefined || isPropagationPolicy(policy)) return policy;
  const supported = propagationPolicies.map((each) => JSON.stringify(each)).join(", ");
  throw refuse(`Unsupported value: ${JSON.stringify(policy)}: supported values: ${supported}`);
}

function isPropagationPolicy(text: string): text is PropagationPolicy {
  return (propagationPolicies as readonly string[]).includes(text);
}
