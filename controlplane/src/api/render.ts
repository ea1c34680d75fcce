import { stringify } from "yaml";
import { apiVersionOf } from "../registry/definition.ts";
import type { AnyDefinition } from "../registry/definitions.ts";
import type { Representation } from "./accept.ts";
import { type ApiResponse, jsonResponse, jsonType } from "./http.ts";
import type { AnyObject, ListResult } from "./reader.ts";
import { type IncludeObject, toPartial, toTable } from "./table.ts";

export interface RenderOptions {
  readonly definition: AnyDefinition;
  readonly representation: Representation;
  readonly includeObject: IncludeObject;
  readonly nowMs: number;
}

/** Lists that are larger are sent in pieces of about this size. Smaller ones cost more CPU time. */
const chunkBytes = 256 * 1024;
const comma = Buffer.from(",");

/** One object in the form that was asked for; the stored bytes themselves whenever they will do. */
export function renderObject(object: AnyObject, options: RenderOptions, status = 200): ApiResponse {
  const { definition, representation, includeObject, nowMs } = options;
  switch (representation.form) {
    case "table": {
      const tableOptions = { apiVersion: `meta.k8s.io/${representation.version}`, includeObject, nowMs, withColumns: true };
      return render(
        toTable(definition, [object.value], { resourceVersion: String(object.revision) }, tableOptions),
        representation,
        status,
      );
    }
    case "partial":
      return render(toPartial(object.value), representation, status);
    default:
      if (representation.syntax === "yaml") return render(object.value, representation, status);
      return { status, headers: { "content-type": jsonType }, body: object.bytes };
  }
}

export function renderList(list: ListResult, options: RenderOptions): ApiResponse {
  const { definition, representation, includeObject, nowMs } = options;
  const metadata = {
    resourceVersion: list.resourceVersion,
    ...(list.continueToken === "" ? {} : { continue: list.continueToken }),
    ...(list.remaining === undefined ? {} : { remainingItemCount: list.remaining }),
  };
  const values = () => list.items.map((object) => object.value);
  if (representation.form === "table") {
    const tableOptions = { apiVersion: `meta.k8s.io/${representation.version}`, includeObject, nowMs, withColumns: true };
    return render(toTable(definition, values(), metadata, tableOptions), representation);
  }
  if (representation.form === "partial") {
    const items = values().map(toPartial);
    return render({ kind: "PartialObjectMetadataList", apiVersion: "meta.k8s.io/v1", metadata, items }, representation);
  }
  const envelope = { kind: `${definition.kind}List`, apiVersion: apiVersionOf(definition), metadata };
  if (representation.syntax === "yaml") return render({ ...envelope, items: values() }, representation);
  const head = Buffer.from(`${JSON.stringify(envelope).slice(0, -1)},"items":[`);
  return { status: 200, headers: { "content-type": jsonType }, ...joinItems(head, list.items, Buffer.from("]}")) };
}

/** Any value, as JSON or YAML. */
export function render(value: unknown, representation: Representation, status = 200): ApiResponse {
  if (representation.syntax === "json") return jsonResponse(value, status);
  return { status, headers: { "content-type": "application/yaml" }, body: Buffer.from(stringify(value, { lineWidth: 0 })) };
}

/** The objects' own bytes between head and tail: in one piece if they are few, else as a stream, without ever holding the whole. */
function joinItems(head: Buffer, items: readonly AnyObject[], tail: Buffer): Pick<ApiResponse, "body" | "length"> {
  let length = head.length + Math.max(0, items.length - 1) * comma.length + tail.length;
  for (const item of items) length += item.bytes.length;
  const pieces = itemChunks(head, items, tail);
  return length <= chunkBytes ? { body: Buffer.concat([...pieces], length) } : { body: toAsync(pieces), length };
}

function* itemChunks(head: Buffer, items: readonly AnyObject[], tail: Buffer): Generator<Buffer> {
  let parts = [head];
  let size = 0;
  for (const [index, item] of items.entries()) {
    if (index > 0) parts.push(comma);
    parts.push(item.bytes);
    size += item.bytes.length;
    if (size >= chunkBytes) {
      yield Buffer.concat(parts);
      parts = [];
      size = 0;
    }
  }
  parts.push(tail);
  yield Buffer.concat(parts);
}

async function* toAsync(pieces: Iterable<Buffer>): AsyncGenerator<Buffer> {
  yield* pieces;
}
