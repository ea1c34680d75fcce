import { type Event, TesseraError } from "@tessera/proto";
import type { EventSource } from "../events/events.ts";
import type { AnyDefinition } from "../registry/definitions.ts";
import type { AnyObject, ListQuery, ListResult, ResourceReader, Selection, WatchItem, WatchQuery } from "./reader.ts";

/** Reads of Events, which JetStream keeps: always the newest, with resourceVersions of their own. */
export class EventReader implements ResourceReader {
  readonly definition: AnyDefinition;
  readonly #events: EventSource;

  constructor(dependencies: { events: EventSource; definition: AnyDefinition }) {
    this.#events = dependencies.events;
    this.definition = dependencies.definition;
  }

  async get(namespace: string, name: string): Promise<AnyObject> {
    const { items } = await this.#events.list(namespace);
    const found = items.find((event) => event.metadata?.name === name);
    if (found !== undefined) return toObject(found);
    throw new TesseraError("NotFound", `events ${JSON.stringify(name)} not found`, { details: { name, kind: "events" } });
  }

  /** In one piece, whatever the limit: what a limit is to spare (the store's work) was done long ago. */
  async list({ selection }: ListQuery): Promise<ListResult> {
    const { items, resourceVersion } = await this.#events.list(selection.namespace);
    return { items: items.map(toObject).filter((object) => isSelected(object, selection)), resourceVersion, continueToken: "" };
  }

  async *watch({ selection, resourceVersion, initialEvents, signal }: WatchQuery): AsyncGenerator<readonly WatchItem[]> {
    let from = resourceVersion;
    if (initialEvents !== "none" || from === "" || from === "0") {
      const list = await this.#events.list(selection.namespace);
      from = list.resourceVersion;
      const existing = initialEvents === "none" ? [] : list.items.map(toObject).filter((object) => isSelected(object, selection));
      if (existing.length > 0) yield existing.map((object) => ({ type: "ADDED", object }));
      if (initialEvents === "marked") yield [{ type: "BOOKMARK", resourceVersion: from, initialEnd: true }];
    }
    for await (const { type, object } of this.#events.watch(selection.namespace, from, signal)) {
      const item = toObject(object);
      if (isSelected(item, selection)) yield [{ type, object: item }];
    }
  }
}

function isSelected(object: AnyObject, { name, matches }: Selection): boolean {
  return (name === undefined || object.name === name) && (matches === undefined || matches(object));
}

function toObject(event: Event): AnyObject {
  const { namespace = "", name = "", uid = "", resourceVersion = "0" } = event.metadata ?? {};
  return { namespace, name, uid, revision: Number(resourceVersion), value: event, bytes: Buffer.from(JSON.stringify(event)) };
}
