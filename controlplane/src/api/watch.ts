import { isCancellation, TesseraError } from "@tessera/proto";
import { apiVersionOf } from "../registry/definition.ts";
import type { Call } from "./call.ts";
import { type ApiResponse, jsonType } from "./http.ts";
import { parseCount, parseSelection, renderOptions } from "./read.ts";
import type { AnyObject, WatchItem, WatchQuery } from "./reader.ts";
import type { RenderOptions } from "./render.ts";
import { toStatus } from "./status.ts";
import { toPartial, toTable } from "./table.ts";

/** Watches without a timeout end after a time between one and two of these, so that clients spread over replicas anew. */
const defaultTimeoutSeconds = 1800;
const initialEndAnnotation = "k8s.io/initial-events-end";

/** GET of a collection with `watch=true`: one JSON object per line, until the timeout or the client ends it. */
export async function watchObjects(call: Call): Promise<ApiResponse> {
  const { request, reader } = call;
  const options = renderOptions(call);
  const timeoutSeconds = parseCount(request.query, "timeoutSeconds") || Math.ceil(defaultTimeoutSeconds * (1 + Math.random()));
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(timeoutSeconds * 1000)]);
  const query: WatchQuery = {
    selection: parseSelection(call),
    resourceVersion: request.query.get("resourceVersion") ?? "",
    initialEvents: parseInitialEvents(request.query),
    bookmarks: isTrue(request.query.get("allowWatchBookmarks")),
    signal,
  };
  return {
    status: 200,
    headers: { "content-type": jsonType },
    body: encodeWatch(reader.watch(query), new WatchEncoder(options, call.dependencies.now), signal),
    live: true,
  };
}

/** Whether what exists is sent first: said by sendInitialEvents, else by the resourceVersion. */
function parseInitialEvents(query: URLSearchParams): WatchQuery["initialEvents"] {
  const sendInitialEvents = query.get("sendInitialEvents");
  const match = query.get("resourceVersionMatch") ?? "";
  if (sendInitialEvents === null) {
    if (match !== "")
      throw new TesseraError(
        "BadRequest",
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
      );
    return ["", "0"].includes(query.get("resourceVersion") ?? "") ? "plain" : "none";
  }
  if (match !== "NotOlderThan") {
    throw new TesseraError(
      "BadRequest",
      "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    );
  }
  if (!isTrue(sendInitialEvents)) return "none";
  return isTrue(query.get("allowWatchBookmarks")) ? "marked" : "plain";
}

export function isTrue(text: string | null): boolean {
  return text === "true" || text === "1" || text === "True";
}

/** Lines of a watch. A fault of the watch is its last line: the client has got status 200 long before. */
async function* encodeWatch(
  watch: AsyncIterable<readonly WatchItem[]>,
  encoder: WatchEncoder,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  try {
    for await (const items of watch) yield Buffer.concat(items.flatMap((item) => encoder.encode(item)));
  } catch (error) {
    if (signal.aborted || isCancellation(error)) return;
    yield Buffer.from(`${JSON.stringify({ type: "ERROR", object: toStatus(error) })}\n`);
  }
}

const lineEnd = Buffer.from("}\n");

class WatchEncoder {
  readonly #options: RenderOptions;
  readonly #now: () => number;
  #wroteColumns = false;

  constructor(options: RenderOptions, now: () => number) {
    this.#options = options;
    this.#now = now;
  }

  encode(item: WatchItem): Buffer[] {
    const start = Buffer.from(`{"type":"${item.type}","object":`);
    const object = item.type === "BOOKMARK" ? Buffer.from(JSON.stringify(this.#bookmark(item))) : this.#object(item.object);
    return [start, object, lineEnd];
  }

  #object(object: AnyObject): Buffer {
    switch (this.#options.representation.form) {
      case "table":
        return Buffer.from(JSON.stringify(this.#table([object])));
      case "partial":
        return Buffer.from(JSON.stringify(toPartial(object.value)));
      default:
        return object.bytes;
    }
  }

  #table(objects: readonly AnyObject[]): object {
    const { definition, representation, includeObject } = this.#options;
    const withColumns = !this.#wroteColumns;
    this.#wroteColumns = true;
    const metadata = { resourceVersion: String(objects[0]?.revision ?? "") };
    return toTable(
      definition,
      objects.map((object) => object.value),
      metadata,
      { apiVersion: `meta.k8s.io/${representation.version}`, includeObject, nowMs: this.#now(), withColumns },
    );
  }

  #bookmark({ resourceVersion, initialEnd }: Extract<WatchItem, { type: "BOOKMARK" }>): object {
    const { definition, representation } = this.#options;
    const metadata = {
      resourceVersion,
      creationTimestamp: null,
      ...(initialEnd ? { annotations: { [initialEndAnnotation]: "true" } } : {}),
    };
    switch (representation.form) {
      case "table":
        return {
          kind: "Table",
          apiVersion: `meta.k8s.io/${representation.version}`,
          metadata: { resourceVersion },
          columnDefinitions: [],
          rows: [],
        };
      case "partial":
        return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata };
      default:
        return { kind: definition.kind, apiVersion: apiVersionOf(definition), metadata };
    }
  }
}
