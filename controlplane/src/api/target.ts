import { TesseraError } from "@tessera/proto";

/** What a resource path names. */
export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  /** "" for all namespaces and for cluster-scoped resources. */
  readonly namespace: string;
  readonly resource: string;
  /** "" for the collection. */
  readonly name: string;
  readonly subresource: string;
}

/** Parts of a Namespace object itself; anything else below /namespaces/NAME/ is a resource in it. */
const namespaceSubresources = new Set(["status", "finalize"]);

/**
 * Reads /api/VERSION/... and /apis/GROUP/VERSION/...; undefined for other paths and for /api/VERSION itself (discovery). Throws TesseraError
 * "NotFound" for a path that goes on beyond the subresource.
 */
export function parseResourcePath(path: string): ResourcePath | undefined {
  const segments = decodeSegments(path);
  const isCore = segments[0] === "api";
  if (!isCore && segments[0] !== "apis") return undefined;
  const [group = "", version = ""] = isCore ? ["", segments[1]] : [segments[1], segments[2]];
  let rest = segments.slice(isCore ? 2 : 3);
  if (rest.length === 0) return undefined;
  let namespace = "";
  if (rest[0] === "namespaces" && rest.length >= 3 && !namespaceSubresources.has(rest[2] ?? "")) {
    namespace = rest[1] ?? "";
    rest = rest.slice(2);
  }
  const [resource = "", name = "", subresource = "", ...beyond] = rest;
  if (beyond.length > 0) throw new TesseraError("NotFound", "the server could not find the requested resource");
  return { group, version, namespace, resource, name, subresource };
}

function decodeSegments(path: string): string[] {
  try {
    return path
      .split("/")
      .filter((segment) => segment !== "")
      .map(decodeURIComponent);
  } catch (cause) {
    throw new TesseraError("BadRequest", `the path ${JSON.stringify(path)} is not well percent-encoded`, { cause });
  }
}
