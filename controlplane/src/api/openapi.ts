import { createHash } from "node:crypto";
import { type ApiResponse, jsonResponse } from "./http.ts";

/** The OpenAPI v3 documents, one per group and version, made when first asked for. */
export class OpenApi {
  readonly #make: ReadonlyMap<string, () => object>;
  readonly #documents = new Map<string, { readonly body: Buffer; readonly hash: string }>();

  /** By the path below /openapi/v3: "api/v1", "apis/coordination.k8s.io/v1". */
  constructor(documents: ReadonlyMap<string, () => object>) {
    this.#make = documents;
  }

  /** The index for "", else the document at the path; undefined if there is none. */
  answer(path: string): ApiResponse | undefined {
    if (path === "") return this.#index();
    const document = this.#document(path);
    if (document === undefined) return undefined;
    return { status: 200, headers: { "content-type": "application/json", etag: `"${document.hash}"` }, body: document.body };
  }

  #index(): ApiResponse {
    const paths = [...this.#make.keys()].map((path) => [
      path,
      { serverRelativeURL: `/openapi/v3/${path}?hash=${this.#document(path)?.hash}` },
    ]);
    return jsonResponse({ paths: Object.fromEntries(paths) });
  }

  #document(path: string): { readonly body: Buffer; readonly hash: string } | undefined {
    const existing = this.#documents.get(path);
    const make = this.#make.get(path);
    if (existing !== undefined || make === undefined) return existing;
    const body = Buffer.from(JSON.stringify(make()));
    const document = { body, hash: createHash("sha256").update(body).digest("hex").slice(0, 32).toUpperCase() };
    this.#documents.set(path, document);
    return document;
  }
}
