import { TesseraError } from "@tessera/proto";
import { FieldSelector } from "../registry/field-selector.ts";
import { LabelSelector } from "../registry/label-selector.ts";
import { type Form, negotiate } from "./accept.ts";
import type { Call } from "./call.ts";
import type { ApiResponse } from "./http.ts";
import type { AnyObject, Selection } from "./reader.ts";
import { type RenderOptions, renderList, renderObject } from "./render.ts";
import { parseIncludeObject } from "./table.ts";

const objectForms: readonly Form[] = ["object", "table", "partial"];

/** How the client of a call wants objects. */
export function renderOptions(call: Call): RenderOptions {
  return {
    definition: call.reader.definition,
    representation: negotiate(call.request.headers.accept, objectForms),
    includeObject: parseIncludeObject(call.request.query.get("includeObject")),
    nowMs: call.dependencies.now(),
  };
}

/** GET of one object. */
export async function getObject(call: Call): Promise<ApiResponse> {
  const { path, request, reader } = call;
  const options = renderOptions(call);
  const object = await reader.get(path.namespace, path.name, request.query.get("resourceVersion") ?? "", request);
  return renderObject(object, options);
}

/** GET of a collection. */
export async function listObjects(call: Call): Promise<ApiResponse> {
  const { request, reader } = call;
  const options = renderOptions(call);
  const list = await reader.list({
    selection: parseSelection(call),
    resourceVersion: request.query.get("resourceVersion") ?? "",
    resourceVersionMatch: request.query.get("resourceVersionMatch") ?? "",
    limit: parseCount(request.query, "limit"),
    continueToken: request.query.get("continue") ?? "",
    signal: request.signal,
  });
  return renderList(list, options);
}

/** The objects that namespace and selectors of a request mean. */
export function parseSelection(call: Call): Selection {
  const { path, request, reader } = call;
  const labels = LabelSelector.parse(request.query.get("labelSelector") ?? "");
  const fields = FieldSelector.parse(request.query.get("fieldSelector") ?? "", reader.definition);
  const tests: ((object: AnyObject) => boolean)[] = [];
  if (!labels.isEmpty) tests.push((object) => labels.matches(object.value.metadata?.labels));
  if (!fields.isEmpty) tests.push((object) => fields.matches(object.value));
  return {
    namespace: path.namespace,
    ...(fields.name === undefined ? {} : { name: fields.name }),
    ...(tests.length === 0 ? {} : { matches: (object: AnyObject) => tests.every((test) => test(object)) }),
  };
}

/** A number of the query, 0 when absent. */
export function parseCount(query: URLSearchParams, name: string): number {
  const text = query.get(name) ?? "";
  if (text === "") return 0;
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw new TesseraError("BadRequest", `${name}: Invalid value: ${JSON.stringify(text)}: must be a non-negative integer`);
}
