import type { OpenApiJson } from "./openapi-schemas.ts";

/** A parameter of a call, in a path or a query. */
export interface OpenApiParameter {
  readonly name: string;
  readonly in: "path" | "query";
  readonly type: "string" | "integer" | "boolean";
  readonly description: string;
}

function query(name: string, type: OpenApiParameter["type"], description: string): OpenApiParameter {
  return { name, in: "query", type, description };
}

export const nameParameter: OpenApiParameter = { name: "name", in: "path", type: "string", description: "Name of the object." };
export const namespaceParameter: OpenApiParameter = {
  name: "namespace",
  in: "path",
  type: "string",
  description: "Namespace of the object.",
};

const pretty = query("pretty", "string", '"true" indents the answer.');
const dryRun = query("dryRun", "string", '"All" checks everything and changes nothing.');
const fieldManager = query("fieldManager", "string", "Name of the client, recorded with the fields that it sets; at most 128 characters.");
const fieldValidation = query(
  "fieldValidation",
  "string",
  'What unknown and duplicate fields do: "Strict" refuses the object, "Warn" (the default) drops them with a warning, "Ignore" drops them.',
);

const selection: readonly OpenApiParameter[] = [
  query("labelSelector", "string", "Only objects with these labels."),
  query("fieldSelector", "string", "Only objects with these field values."),
  query("limit", "integer", "At most this many objects; the answer's continue field leads to the next ones."),
  query("continue", "string", "Where the answer before stopped."),
  query("resourceVersion", "string", "How old the answer may be: unset for the newest state, 0 for any, otherwise at least this version."),
  query("resourceVersionMatch", "string", '"Exact" or "NotOlderThan" than resourceVersion.'),
  query("timeoutSeconds", "integer", "How long the call may last."),
];

const deletion: readonly OpenApiParameter[] = [
  dryRun,
  query("gracePeriodSeconds", "integer", "Seconds that the object gets to end in good order; 0 deletes at once."),
  query("propagationPolicy", "string", 'What happens to objects that it owns: "Background", "Foreground" or "Orphan".'),
  query("orphanDependents", "boolean", "Old form of propagationPolicy."),
];

/** The query parameters of each verb of the API. */
export const verbParameters: { readonly [verb: string]: readonly OpenApiParameter[] } = {
  get: [pretty],
  list: [
    pretty,
    ...selection,
    query("watch", "boolean", "True: send changes as they happen instead of a list."),
    query("allowWatchBookmarks", "boolean", "True: the server may send marks that only tell the resourceVersion."),
    query("sendInitialEvents", "boolean", "True: a watch begins with all objects, and a mark after the last."),
  ],
  create: [pretty, dryRun, fieldManager, fieldValidation],
  update: [pretty, dryRun, fieldManager, fieldValidation],
  patch: [pretty, dryRun, fieldManager, fieldValidation, query("force", "boolean", "For server-side apply: take over fields of others.")],
  delete: [pretty, ...deletion],
  deletecollection: [pretty, ...deletion, ...selection],
};

const command: readonly OpenApiParameter[] = [
  query("container", "string", "The container; not needed if the pod has only one."),
  query("stdin", "boolean", "True: standard input follows."),
  query("stdout", "boolean", "True: send standard output."),
  query("stderr", "boolean", "True: send standard error."),
  query("tty", "boolean", "True: give the command a terminal."),
];

/** The query parameters of subresources that are no objects. */
export const subresourceParameters: { readonly [subresource: string]: readonly OpenApiParameter[] } = {
  log: [
    query("container", "string", "The container; not needed if the pod has only one."),
    query("follow", "boolean", "True: go on sending as lines are written."),
    query("previous", "boolean", "True: the log of the container before its last restart."),
    query("timestamps", "boolean", "True: each line begins with its time."),
    query("tailLines", "integer", "Only this many lines from the end."),
    query("sinceSeconds", "integer", "Only lines of the last so many seconds."),
    query("sinceTime", "string", "Only lines after this time."),
    query("limitBytes", "integer", "At most this many bytes."),
    query(
      "stream",
      "string",
      "Stdout or Stderr: only what was written there; All, as without: both. Not one of them together with tailLines.",
    ),
  ],
  exec: [...command, query("command", "string", "The program and its arguments, one parameter each.")],
  attach: command,
  portforward: [query("ports", "integer", "The ports to forward.")],
};

/** A parameter in an OpenAPI v3 document. */
export function parameterV3({ name, in: place, type, description }: OpenApiParameter): OpenApiJson {
  return { name, in: place, description, ...(place === "path" && { required: true }), schema: { type, uniqueItems: true } };
}
