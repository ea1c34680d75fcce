import type { Event, eventsV1 } from "@tessera/proto";
import { allVerbs, type ResourceDefinition } from "../definition.ts";
import type { Fault } from "../faults.ts";
import { plainStrategy } from "../strategy.ts";
import { eventDefinition, validateNewEvent } from "./event.ts";

/** Where events.k8s.io has another name for what the core group has. */
const names = {
  involvedObject: "regarding",
  message: "note",
  reportingComponent: "reportingController",
  source: "deprecatedSource",
  firstTimestamp: "deprecatedFirstTimestamp",
  lastTimestamp: "deprecatedLastTimestamp",
  count: "deprecatedCount",
} as const satisfies { readonly [field in keyof Event]?: keyof eventsV1.Event };

/** The same Events as those of the core group, with the names of events.k8s.io for their fields. */
export const eventsV1Definition: ResourceDefinition<eventsV1.Event> = {
  group: "events.k8s.io",
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
  columns: eventDefinition.columns.map((column) => ({ ...column, cell: (event, nowMs) => column.cell(fromEventsV1(event), nowMs) })),
  selectableFields: Object.fromEntries(
    Object.entries(eventDefinition.selectableFields)
      .filter(([field]) => field !== "source")
      .map(([field, select]) => [renamed(field), (event: eventsV1.Event) => select(fromEventsV1(event))]),
  ),
  strategy: plainStrategy<eventsV1.Event>({
    validate: (event): Fault[] => validateNewEvent(fromEventsV1(event)).map((fault) => ({ ...fault, path: renamed(fault.path) })),
    // Those that were written in the other group may lack what this one requires.
    validateUpdate: () => [],
  }),
};

/** The Event of the core group as events.k8s.io has it. */
export function toEventsV1(event: Event): eventsV1.Event {
  const { eventTime, firstTimestamp } = event;
  const entries = Object.entries(event).map(([field, value]) => [renamed(field), value]);
  const renamedEvent = Object.fromEntries(entries) as eventsV1.Event;
  return { ...renamedEvent, apiVersion: "events.k8s.io/v1", eventTime: eventTime ?? toMicroTime(firstTimestamp) };
}

/** The opposite of `toEventsV1`. */
export function fromEventsV1(event: eventsV1.Event): Event {
  const original = new Map<string, string>(Object.entries(names).map(([core, renamedField]) => [renamedField, core]));
  const entries = Object.entries(event).map(([field, value]) => [original.get(field) ?? field, value]);
  const { eventTime, ...rest } = Object.fromEntries(entries) as Event;
  // Only shown: what has a first time has no other.
  const isShown = eventTime === toMicroTime(rest.firstTimestamp);
  return { ...rest, apiVersion: "v1", ...(isShown ? {} : { eventTime }) };
}

function renamed(path: string): string {
  const [field = "", ...rest] = path.split(".");
  const name = (names as { readonly [field: string]: string })[field] ?? field;
  return [name, ...rest].join(".");
}

/** This group wants a time of every Event. */
function toMicroTime(time: string | undefined): string | undefined {
  return time?.replace(/Z$/, ".000000Z");
}
