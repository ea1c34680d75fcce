import { TesseraError } from "@tessera/proto";
import type { ApiObject } from "../registry/definition.ts";
import type { Fault } from "../registry/faults.ts";
import { contentType, readBody } from "./body.ts";
import type { Call } from "./call.ts";
import { checkNamespace, parseDryRun, writable } from "./create.ts";
import { decodeValue, type Kind, type ParsedBody, parseBody, parseFieldValidation, schemaFor } from "./decode.ts";
import { type ApiResponse, withWarnings } from "./http.ts";
import { applyJsonPatch } from "./patches/json-patch.ts";
import { applyMergePatch } from "./patches/merge-patch.ts";
import { applyStrategicMergePatch } from "./patches/strategic-merge-patch.ts";
import { renderOptions } from "./read.ts";
import { renderObject } from "./render.ts";

type Patch = (current: unknown) => unknown;

/** PATCH of an object, or of the part of it that a subresource stands for. */
export async function patchObject(call: Call): Promise<ApiResponse> {
  const { path, request } = call;
  const resource = writable(call);
  const { definition } = resource;
  const options = renderOptions(call);
  const validation = parseFieldValidation(request.query);
  const { apply, duplicates } = await readPatch(call);
  const source = { duplicates: validation === "Ignore" ? [] : duplicates() };
  const faults: Fault[] = [];
  let warnings: readonly string[] = [];
  const change = (current: ApiObject): ApiObject => {
    const decoded = decodeValue<ApiObject>(applyShallow(apply, current), definition, validation, source);
    checkNamespace(decoded.object, path.namespace, definition.namespaced);
    checkIdentity(decoded.object, current);
    warnings = decoded.warnings;
    faults.splice(0, faults.length, ...decoded.faults);
    return withoutStaleVersion(decoded.object, current);
  };
  const result = await resource.updateObject(path.namespace, path.name, change, {
    subresource: path.subresource,
    faults,
    dryRun: parseDryRun(request.query),
  });
  return withWarnings(renderObject(result.object, options), warnings);
}

async function readPatch(call: Call): Promise<{ apply: Patch; duplicates: ParsedBody["duplicates"] }> {
  const { definition } = call.reader;
  const toPatch = patchOf(contentType(call.request), definition);
  const { value, duplicates } = parseBody(await readBody(call.request), "application/json", definition);
  return { apply: toPatch(value), duplicates };
}

/** What makes patches of this media type out of their content. */
function patchOf(type: string, definition: Kind): (content: unknown) => Patch {
  switch (type) {
    case "application/json-patch+json":
      return (operations) => (current) => applyJsonPatch(current, operations);
    case "application/merge-patch+json":
      return (change) => (current) => applyMergePatch(current, change);
    case "application/strategic-merge-patch+json": {
      const schema = schemaFor(definition);
      return (change) => (current) => applyStrategicMergePatch(current, change, schema);
    }
    case "application/apply-patch+yaml":
      throw new TesseraError(
        "UnsupportedMediaType",
        "server-side apply is not supported yet; use client-side apply (kubectl apply without --server-side), or a merge patch",
      );
    default:
      throw new TesseraError(
        "UnsupportedMediaType",
        `the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json; not ${JSON.stringify(type)}`,
      );
  }
}

/** Patches are applied recursively: one that exhausts the stack is no patch of any object of ours. */
function applyShallow(apply: Patch, current: ApiObject): unknown {
  try {
    return apply(current);
  } catch (cause) {
    if (cause instanceof RangeError) throw new TesseraError("BadRequest", "the patch is nested too deeply", { cause });
    throw cause;
  }
}

function checkIdentity(patched: ApiObject, current: ApiObject): void {
  if (patched.metadata?.name === current.metadata?.name) return;
  throw new TesseraError("BadRequest", "metadata.name: a patch cannot rename an object");
}

/** Only a patch that itself names a resourceVersion insists on it; the one of the state it was applied to is no wish. */
function withoutStaleVersion(patched: ApiObject, current: ApiObject): ApiObject {
  if (patched.metadata?.resourceVersion !== current.metadata?.resourceVersion) return patched;
  const { resourceVersion: _, ...metadata } = patched.metadata ?? {};
  return { ...patched, metadata };
}
