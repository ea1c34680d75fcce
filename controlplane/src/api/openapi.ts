import { createHash } from "node:crypto";
import { groupVersionPath, openApiV3, openApiV3Index } from "@tessera/proto";
import type { Discovery } from "./discovery.ts";
import { type ApiResponse, jsonResponse } from "./http.ts";

interface Document {
  readonly path: string;
  readonly body: Buffer;
  readonly hash: string;
}

/** The OpenAPI v3 documents, one per group and version, all made when one is first asked for. */
export class OpenApi {
  readonly #groupVersions: Discovery["groupVersions"];
  #documents: ReadonlyMap<string, Document> | undefined;

  constructor(groupVersions: Discovery["groupVersions"]) {
    this.#groupVersions = groupVersions;
  }

  /** The index for "", else the document at the path ("api/v1"); undefined if there is none. */
  answer(path: string): ApiResponse | undefined {
    this.#documents ??= new Map(this.#groupVersions.map(makeDocument).map((document) => [document.path, document]));
    if (path === "") return jsonResponse(openApiV3Index([...this.#documents.values()]));
    const document = this.#documents.get(path);
    if (document === undefined) return undefined;
    return { status: 200, headers: { "content-type": "application/json", etag: `"${document.hash}"` }, body: document.body };
  }
}

function makeDocument(groupVersion: Discovery["groupVersions"][number]): Document {
  const body = Buffer.from(JSON.stringify(openApiV3(groupVersion, groupVersion.resources)));
  const hash = createHash("sha256").update(body).digest("hex").slice(0, 32).toUpperCase();
  return { path: groupVersionPath(groupVersion), body, hash };
}
