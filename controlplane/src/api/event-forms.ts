import type { Event, eventsV1 } from "@tessera/proto";
import type { ApiObject } from "../registry/definition.ts";
import { anyDefinition, definitions } from "../registry/definitions.ts";
import { fromEventsV1, toEventsV1 } from "../registry/kinds/events-v1.ts";
import type { EventForm } from "./event-reader.ts";

/** Events as the core group and as events.k8s.io have them; they lie in the store as the former. */
export const eventForms: readonly EventForm[] = [
  {
    definition: anyDefinition<Event>(definitions.events),
    show: (event) => event as ApiObject,
    // Decoded by the schema of this very kind.
    read: (object) => object as Event,
  },
  {
    definition: anyDefinition<eventsV1.Event>(definitions.eventsV1),
    show: (event) => toEventsV1(event) as ApiObject,
    read: (object) => fromEventsV1(object as eventsV1.Event),
  },
];
