import type { Event } from "@tessera/proto";
import { allVerbs, type Column, type ResourceDefinition } from "../definition.ts";
import { type Fault, invalid, notSupported, required } from "../faults.ts";
import { checkQualifiedName } from "../names.ts";
import { plainStrategy } from "../strategy.ts";
import { formatAge } from "./age.ts";

const columns: readonly Column<Event>[] = [
  { name: "Last Seen", type: "string", description: "When it happened last.", cell: lastSeen },
  { name: "Type", type: "string", description: "Normal or Warning.", cell: (event) => event.type ?? "" },
  { name: "Reason", type: "string", description: "What happened, in one word.", cell: (event) => event.reason ?? "" },
  { name: "Object", type: "string", description: "To whom it happened.", cell: objectOf },
  {
    name: "Subobject",
    type: "string",
    priority: 1,
    description: "The part of the object that is meant.",
    cell: (event) => event.involvedObject?.fieldPath ?? "",
  },
  { name: "Source", type: "string", priority: 1, description: "Who says so.", cell: sourceOf },
  { name: "Message", type: "string", description: "What happened, in a sentence.", cell: (event) => (event.message ?? "").trim() },
  {
    name: "First Seen",
    type: "string",
    priority: 1,
    description: "When it happened first.",
    cell: (event, nowMs) => formatAge(event.firstTimestamp ?? event.eventTime, nowMs),
  },
  {
    name: "Count",
    type: "string",
    priority: 1,
    description: "How often it happened.",
    cell: (event) => event.series?.count ?? event.count ?? 1,
  },
  {
    name: "Name",
    type: "string",
    format: "name",
    priority: 1,
    description: "Name of the Event.",
    cell: (event) => event.metadata?.name ?? "",
  },
];

/** Events are kept by JetStream; most are written by the parts of the cluster. */
export const eventDefinition: ResourceDefinition<Event> = {
  group: "",
  version: "v1",
  kind: "Event",
  plural: "events",
  singular: "event",
  shortNames: ["ev"],
  categories: [],
  namespaced: true,
  verbs: allVerbs,
  subresources: [],
  returnsDeletedObject: false,
  columns,
  selectableFields: {
    "involvedObject.kind": (event) => event.involvedObject?.kind ?? "",
    "involvedObject.namespace": (event) => event.involvedObject?.namespace ?? "",
    "involvedObject.name": (event) => event.involvedObject?.name ?? "",
    "involvedObject.uid": (event) => event.involvedObject?.uid ?? "",
    "involvedObject.apiVersion": (event) => event.involvedObject?.apiVersion ?? "",
    "involvedObject.resourceVersion": (event) => event.involvedObject?.resourceVersion ?? "",
    "involvedObject.fieldPath": (event) => event.involvedObject?.fieldPath ?? "",
    reason: (event) => event.reason ?? "",
    reportingComponent: (event) => event.reportingComponent ?? event.source?.component ?? "",
    source: (event) => event.source?.component ?? event.reportingComponent ?? "",
    type: (event) => event.type ?? "",
  },
  // What was written in the other group, or long ago, need not be complete to be counted on.
  strategy: plainStrategy<Event>({ validate, validateUpdate: validateNamespace }),
};

const maxWordLength = 128;
const maxMessageLength = 1024;

function validate(event: Event): Fault[] {
  return [...validateNamespace(event), ...(event.eventTime === undefined ? [] : validateNewEvent(event))];
}

/** Events about objects of the cluster lie in the namespace default. */
function validateNamespace({ involvedObject, metadata }: Event): Fault[] {
  const namespace = involvedObject?.namespace ?? "";
  if ((namespace || "default") === metadata?.namespace) return [];
  return [invalid("involvedObject.namespace", namespace, "does not match event.namespace")];
}

/** The rules of events.k8s.io, which hold for those of the core group when they have an eventTime. Paths are those of the core group. */
export function validateNewEvent(event: Event): Fault[] {
  const faults: Fault[] = [];
  for (const field of ["reportingInstance", "action", "reason"] as const) {
    const value = event[field] ?? "";
    if (value === "") faults.push(required(field));
    else if (value.length > maxWordLength) faults.push(invalid(field, value, `can have at most ${maxWordLength} characters`));
  }
  const reporter = event.reportingComponent ?? "";
  const reporterFault = reporter === "" ? undefined : checkQualifiedName(reporter);
  if (reporter === "") faults.push(required("reportingComponent"));
  else if (reporterFault !== undefined) faults.push(invalid("reportingComponent", reporter, reporterFault));
  if (event.type !== "Normal" && event.type !== "Warning") faults.push(notSupported("type", event.type ?? "", ["Normal", "Warning"]));
  if ((event.message ?? "").length > maxMessageLength) {
    faults.push(invalid("message", event.message, `can have at most ${maxMessageLength} characters`));
  }
  return faults;
}

function lastSeen(event: Event, nowMs: number): string {
  return formatAge(event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime, nowMs);
}

function objectOf(event: Event): string {
  const { kind = "", name = "" } = event.involvedObject ?? {};
  return name === "" ? kind : `${kind.toLowerCase()}/${name}`;
}

function sourceOf(event: Event): string {
  const component = event.source?.component || event.reportingComponent || "";
  const host = event.source?.host || event.reportingInstance || "";
  return host === "" ? component : `${component}, ${host}`;
}
