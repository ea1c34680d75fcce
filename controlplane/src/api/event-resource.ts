import { type Event, TesseraError } from "@tessera/proto";
import type { EventStore } from "../events/events.ts";
import { checkPreconditions } from "../registry/conflict.ts";
import { type ApiObject, apiVersionOf } from "../registry/definition.ts";
import type { AnyDefinition } from "../registry/definitions.ts";
import { type Fault, invalidObject, joinFaults } from "../registry/faults.ts";
import { newObjectMeta, updatedObjectMeta, validateMeta, validateMetaUpdate } from "../registry/object-meta.ts";
import type { StoredRegistry } from "../registry/stored-registry.ts";
import type { DeleteRequest, UpdateOptions, WriteOptions, WriteResult } from "../registry/stored-resource.ts";
import type { WritableResource } from "./call.ts";
import { type EventForm, findEvent, toObject } from "./event-reader.ts";

/** Conflicts in a row before a caller is told. */
const maxAttempts = 16;

/** Events as clients make and change them. They lie in JetStream, beside those that the cluster's own parts record. */
export class EventResource implements WritableResource {
  readonly definition: AnyDefinition;
  readonly #form: EventForm;
  readonly #events: EventStore;
  readonly #registry: Pick<StoredRegistry, "namespaces">;
  readonly #now: () => number;

  constructor(dependencies: { form: EventForm; events: EventStore; registry: Pick<StoredRegistry, "namespaces">; now: () => number }) {
    this.#form = dependencies.form;
    this.definition = dependencies.form.definition;
    this.#events = dependencies.events;
    this.#registry = dependencies.registry;
    this.#now = dependencies.now;
  }

  async createObject(
    sent: ApiObject,
    namespace: string,
    { faults = [], dryRun = false }: WriteOptions & { faults?: readonly Fault[] } = {},
  ): Promise<WriteResult<ApiObject>> {
    const created = { namespaced: true, namespace, countsGeneration: false, nowMs: this.#now() };
    const object = this.#typed(sent, newObjectMeta(sent.metadata ?? {}, created));
    const { strategy } = this.definition;
    this.#refuse(object, joinFaults(faults, [...validateMeta(object, true, strategy.checkName), ...strategy.validate(object)]));
    await this.#registry.namespaces.read("", namespace);
    const event = this.#form.read(object);
    return this.#result(dryRun ? event : await this.#events.create(event));
  }

  async updateObject(
    namespace: string,
    name: string,
    change: (current: ApiObject) => ApiObject | Promise<ApiObject>,
    { faults = [], dryRun = false }: UpdateOptions = {},
  ): Promise<WriteResult<ApiObject>> {
    for (let attempt = 1; ; attempt++) {
      const current = await findEvent(this.#events, namespace, name);
      const sent = await change(this.#form.show(current));
      const object = this.#typed(sent, updatedObjectMeta(sent.metadata ?? {}, current.metadata ?? {}));
      const own = [...validateMetaUpdate(sent.metadata ?? {}, current.metadata ?? {}), ...validateMeta(object, true, () => undefined)];
      this.#refuse(object, joinFaults(faults, [...own, ...this.definition.strategy.validateUpdate(object, this.#form.show(current))]));
      const insists = sent.metadata?.resourceVersion !== undefined;
      const resourceVersion = insists ? sent.metadata?.resourceVersion : current.metadata?.resourceVersion;
      const event = this.#form.read({ ...object, metadata: { ...object.metadata, resourceVersion } });
      if (dryRun) return this.#result(event);
      try {
        return this.#result(await this.#events.replace(event));
      } catch (error) {
        if (!isConflict(error) || insists || attempt === maxAttempts) throw error;
      }
    }
  }

  /** At once: nothing is owed for an Event, so neither grace nor finalizers hold it. */
  async deleteObject(
    namespace: string,
    name: string,
    { preconditions = {}, dryRun = false }: DeleteRequest = {},
  ): Promise<WriteResult<ApiObject>> {
    for (let attempt = 1; ; attempt++) {
      const current = await findEvent(this.#events, namespace, name);
      const { object } = this.#result(current);
      checkPreconditions(this.definition, object, preconditions);
      if (dryRun) return { object, removed: true };
      try {
        await this.#events.remove(current);
        return { object, removed: true };
      } catch (error) {
        // It has happened again meanwhile.
        if (!isConflict(error) || attempt === maxAttempts) throw error;
      }
    }
  }

  #typed(sent: ApiObject, metadata: ApiObject["metadata"]): ApiObject {
    return { ...sent, apiVersion: apiVersionOf(this.definition), kind: this.definition.kind, metadata };
  }

  #refuse(object: ApiObject, faults: readonly Fault[]): void {
    const { kind, group } = this.definition;
    if (faults.length > 0) throw invalidObject(kind, group, object.metadata?.name ?? "", faults);
  }

  #result(event: Event): WriteResult<ApiObject> {
    return { object: toObject(this.#form.show(event)), removed: false };
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof TesseraError && error.reason === "Conflict";
}
