import { TesseraError } from "@tessera/proto";
import type { ApiObject } from "../registry/definition.ts";
import type { Call } from "./call.ts";
import { checkNamespace, parseDryRun, writable } from "./create.ts";
import { decodeBody } from "./decode.ts";
import { type ApiResponse, withWarnings } from "./http.ts";
import { renderOptions } from "./read.ts";
import { renderObject } from "./render.ts";

/** PUT of an object, or of the part of it that a subresource stands for. */
export async function updateObject(call: Call): Promise<ApiResponse> {
  const { path, request } = call;
  const resource = writable(call);
  const options = renderOptions(call);
  const { object, again, faults, warnings } = await decodeBody<ApiObject>(request, resource.definition);
  checkNamespace(object, path.namespace, resource.definition.namespaced);
  checkName(object, path.name);
  const dryRun = parseDryRun(request.query);
  // A retry starts from what was sent, and the strategies change the object they get.
  let isRetry = false;
  const change = () => {
    const sent = isRetry ? again() : object;
    isRetry = true;
    return sent;
  };
  const result = await resource.updateObject(path.namespace, path.name, change, { subresource: path.subresource, faults, dryRun });
  return withWarnings(renderObject(result.object, options), warnings);
}

function checkName(object: ApiObject, name: string): void {
  const sent = object.metadata?.name ?? "";
  if (sent === name) return;
  throw new TesseraError(
    "BadRequest",
    sent === ""
      ? "metadata.name: Required value: name must be provided"
      : `the name of the object (${sent}) does not match the name on the URL (${name})`,
  );
}
