import { type Event, TesseraError } from "@tessera/proto";
import type { EventSource } from "../events/events.ts";
import type { ApiObject } from "../registry/definition.ts";
import type { AnyDefinition } from "../registry/definitions.ts";
import type { AnyObject, ListQuery, ListResult, ResourceReader, Selection, WatchItem, WatchQuery } from "./reader.ts";

/** One of the two groups in which the API has Events. */
export interface EventForm {
  readonly definition: AnyDefinition;
  /** The Event as the group has it. */
  readonly show: (event: Event) => ApiObject;
  /** What `show` has shown. */
  readonly read: (object: ApiObject) => Event;
}

/** Reads of Events, which JetStream keeps: always the newest, with resourceVersions of their own. */
export class EventReader implements ResourceReader {
  readonly definition: AnyDefinition;
  readonly #events: EventSource;
  readonly #show: EventForm["show"];

  constructor(dependencies: { events: EventSource; form: EventForm }) {
    this.#events = dependencies.events;
    this.definition = dependencies.form.definition;
    this.#show = dependencies.form.show;
  }

  async get(namespace: string, name: string): Promise<AnyObject> {
    return this.#toObject(await findEvent(this.#events, namespace, name));
  }

  /** In one piece, whatever the limit: what a limit is to spare (the store's work) was done long ago. */
  async list({ selection }: ListQuery): Promise<ListResult> {
    const { items, resourceVersion } = await this.#events.list(selection.namespace);
    return {
      items: items.map((event) => this.#toObject(event)).filter((object) => isSelected(object, selection)),
      resourceVersion,
      continueToken: "",
    };
  }

  async *watch({ selection, resourceVersion, initialEvents, signal }: WatchQuery): AsyncGenerator<readonly WatchItem[]> {
    let from = resourceVersion;
    if (initialEvents !== "none" || from === "" || from === "0") {
      const list = await this.#events.list(selection.namespace);
      from = list.resourceVersion;
      const existing =
        initialEvents === "none" ? [] : list.items.map((event) => this.#toObject(event)).filter((object) => isSelected(object, selection));
      if (existing.length > 0) yield existing.map((object) => ({ type: "ADDED", object }));
      if (initialEvents === "marked") yield [{ type: "BOOKMARK", resourceVersion: from, initialEnd: true }];
    }
    for await (const { type, object } of this.#events.watch(selection.namespace, from, signal)) {
      const item = this.#toObject(object);
      if (isSelected(item, selection)) yield [{ type, object: item }];
    }
  }

  #toObject(event: Event): AnyObject {
    return toObject(this.#show(event));
  }
}

function isSelected(object: AnyObject, { name, matches }: Selection): boolean {
  return (name === undefined || object.name === name) && (matches === undefined || matches(object));
}

/** As the rest of the API handles objects. */
export function toObject(event: ApiObject): AnyObject {
  const { namespace = "", name = "", uid = "", resourceVersion = "0" } = event.metadata ?? {};
  return { namespace, name, uid, revision: Number(resourceVersion), value: event, bytes: Buffer.from(JSON.stringify(event)) };
}

/**
 * The Event of this name. Nearly all are named for their object, as "web.17a5f3", and there are few of one object to look through; only when it
 * is not among those are all of the namespace read. Throws TesseraError "NotFound".
 */
export async function findEvent(events: EventSource, namespace: string, name: string): Promise<Event> {
  const involved = { name: name.replace(/\.[^.]*$/, "") };
  for (const narrowed of involved.name === name ? [{}] : [involved, {}]) {
    const { items } = await events.list(namespace, narrowed);
    const found = items.find((event) => event.metadata?.name === name);
    if (found !== undefined) return found;
  }
  throw new TesseraError("NotFound", `events ${JSON.stringify(name)} not found`, { details: { name, kind: "events" } });
}
