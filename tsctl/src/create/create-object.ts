import type { ApiObject } from "../api/api.ts";
import { pathOf } from "../api/discovery.ts";
import type { CommandContext } from "../command.ts";
import { withLastApplied } from "../manifest/last-applied.ts";
import { placeManifest } from "../manifest/placement.ts";
import type { Manifest } from "../manifest/read-manifests.ts";
import { tellWritten, type Writing, writingQuery } from "../writing.ts";

export interface Creation {
  readonly manifest: Manifest;
  readonly writing: Writing;
  readonly validation: string;
  /** Remember the manifest as `apply` does. */
  readonly saveConfig?: boolean;
}

/** Makes one object and tells so; with --dry-run=client it is only shown. */
export async function createObject(creation: Creation, context: CommandContext): Promise<ApiObject> {
  const { manifest, writing, validation, saveConfig = false } = creation;
  const cluster = await context.cluster();
  const { resource, namespace } = await placeManifest(manifest, cluster);
  const body = saveConfig ? withLastApplied(manifest.object, namespace) : manifest.object;
  const query = { ...writingQuery(writing), fieldValidation: validation };
  const object =
    writing.dryRun === "client"
      ? body
      : await cluster.api.request<ApiObject>("POST", pathOf(resource, namespace), { body, query, signal: context.signal });
  await tellWritten(object, "created", resource, writing, context);
  return object;
}

/** An object that the command line made, as if a file had said it. */
export function madeManifest(object: ApiObject): Manifest {
  return { object, source: "the command line", start: { line: 1, column: 1 }, lineOf: () => 1 };
}
