import { isDeepStrictEqual } from "node:util";
import { type DeleteOptions, TesseraError } from "@tessera/proto";
import type { CachedObject, ResourceCache } from "../store/cache.ts";
import type { Store } from "../store/store.ts";
import { checkPreconditions, writeConflict } from "./conflict.ts";
import { type ApiObject, apiVersionOf, qualifiedResource, type ResourceDefinition } from "./definition.ts";
import { type DeletionWish, planDeletion } from "./deletion.ts";
import { encodeObject, storeKey } from "./encoding.ts";
import { type Fault, invalidObject, joinFaults } from "./faults.ts";
import type { NamespaceGate } from "./namespace-gate.ts";
import { newObjectMeta, updatedObjectMeta, validateMeta, validateMetaUpdate } from "./object-meta.ts";
import type { RemoveOptions, Resource } from "./resource.ts";
import { StoredObject } from "./stored-object.ts";

export interface StoredResourceDependencies<T extends ApiObject> {
  readonly definition: ResourceDefinition<T>;
  readonly store: Store;
  readonly cache: ResourceCache<T>;
  /** Absent for cluster-scoped resources. */
  readonly namespaceGate?: NamespaceGate;
  /** Changes a new object after its defaults and before it is validated, or refuses it. */
  readonly admission?: (object: T, namespace: string) => Promise<void> | undefined;
  readonly now: () => number;
}

export interface WriteOptions {
  /** Do everything but the write. */
  readonly dryRun?: boolean;
}

export interface UpdateOptions extends WriteOptions {
  /** The subresource whose part is changed; absent: everything but the parts. */
  readonly subresource?: string;
  /** Faults that decoding found and that only validation may report (an unsupported value, ...). */
  readonly faults?: readonly Fault[];
}

export interface DeleteRequest extends WriteOptions, DeletionWish {
  readonly preconditions?: DeleteOptions["preconditions"];
}

/** How a write ended. */
export interface WriteResult<T> {
  readonly object: CachedObject<T>;
  /** The object no longer exists; `object` is its last state. */
  readonly removed: boolean;
}

/** What a change wants: `undefined` leaves the object as it is. */
type Decision<T> = { readonly do: "write"; readonly next: T } | { readonly do: "remove"; readonly next: T } | { readonly do: "nothing" };

/** Conflicts in a row before a caller is told; each means that somebody else made progress. */
const maxAttempts = 64;
const maxNameAttempts = 8;

/**
 * The one implementation of a resource, on top of the store. Reads for a change come from the cache first; what was decided on a stale state
 * is decided again on the newest before anybody hears of it.
 */
export class StoredResource<T extends ApiObject> implements Resource<T> {
  readonly definition: ResourceDefinition<T>;
  readonly cache: ResourceCache<T>;
  readonly #store: Store;
  readonly #gate: NamespaceGate | undefined;
  readonly #admission: StoredResourceDependencies<T>["admission"];
  readonly #now: () => number;

  constructor(dependencies: StoredResourceDependencies<T>) {
    this.definition = dependencies.definition;
    this.cache = dependencies.cache;
    this.#store = dependencies.store;
    this.#gate = dependencies.namespaceGate;
    this.#admission = dependencies.admission;
    this.#now = dependencies.now;
  }

  /** The newest state, from the store itself. */
  async read(namespace: string, name: string): Promise<CachedObject<T>> {
    const versioned = await this.#store.read(this.#key(namespace, name));
    if (versioned === undefined) throw this.notFound(name);
    return StoredObject.of<T>(versioned);
  }

  async create(object: T): Promise<T> {
    const namespace = this.definition.namespaced ? (object.metadata?.namespace ?? "") : "";
    const { object: created } = await this.createObject(structuredClone(object), namespace);
    return created.value;
  }

  /** Creates what a user sent, after decoding and the schema's defaults. The object becomes the resource's own. */
  async createObject(sent: T, namespace: string, options: WriteOptions & { faults?: readonly Fault[] } = {}): Promise<WriteResult<T>> {
    const { definition } = this;
    if (sent.metadata?.resourceVersion) {
      throw new TesseraError("BadRequest", "resourceVersion should not be set on objects to be created");
    }
    const meta = sent.metadata ?? {};
    const object = { ...sent, apiVersion: apiVersionOf(definition), kind: definition.kind };
    for (let attempt = 1; ; attempt++) {
      object.metadata = newObjectMeta(meta, {
        namespaced: definition.namespaced,
        namespace,
        countsGeneration: definition.strategy.isNewGeneration !== undefined,
        nowMs: this.#now(),
      });
      definition.strategy.prepareForCreate(object);
      const admitting = this.#admission?.(object, namespace);
      if (admitting !== undefined) await admitting;
      const own = [...validateMeta(object, definition.namespaced, definition.strategy.checkName), ...definition.strategy.validate(object)];
      this.#refuse(object, joinFaults(options.faults ?? [], own));
      await this.#gate?.admit(namespace, definition, object.metadata.name ?? "");
      try {
        return await this.#insert(object, namespace, options.dryRun === true);
      } catch (error) {
        const generated = !meta.name && meta.generateName;
        if (!(error instanceof TesseraError && error.reason === "AlreadyExists" && generated && attempt < maxNameAttempts)) throw error;
      }
    }
  }

  async mutate(namespace: string, name: string, change: (current: T) => T | undefined, options: { uid?: string } = {}): Promise<T> {
    const { object } = await this.#modify(namespace, name, {}, (current) => {
      if (options.uid !== undefined && current.uid !== options.uid) throw this.notFound(name);
      const next = change(current.value);
      return next === undefined ? { do: "nothing" } : this.#writeOrRelease(next, current.value);
    });
    return object.value;
  }

  /**
   * Replaces an object as a user asks. `change` gets the current state and returns what was sent or patched (its own, not frozen); it is called
   * again when somebody else was faster, unless the sender insists on a resourceVersion.
   */
  async updateObject(
    namespace: string,
    name: string,
    change: (current: T) => T | Promise<T>,
    options: UpdateOptions,
  ): Promise<WriteResult<T>> {
    const { strategy } = this.definition;
    return this.#modify(namespace, name, options, async (current) => {
      const sent = await change(current.value);
      checkPreconditions(this.definition, current, { uid: sent.metadata?.uid, resourceVersion: sent.metadata?.resourceVersion });
      const next: T = { ...sent, apiVersion: apiVersionOf(this.definition), kind: this.definition.kind };
      next.metadata = updatedObjectMeta(sent.metadata ?? {}, current.value.metadata ?? {});
      const faults = validateMetaUpdate(sent.metadata ?? {}, current.value.metadata ?? {});
      const part = options.subresource === undefined ? undefined : strategy.parts?.[options.subresource];
      if (part !== undefined) {
        part.prepare(next, current.value);
        faults.push(...part.validate(next, current.value));
      } else {
        strategy.prepareForUpdate(next, current.value);
        faults.push(...validateMeta(next, this.definition.namespaced, () => undefined), ...strategy.validateUpdate(next, current.value));
      }
      this.#refuse(next, joinFaults(options.faults ?? [], faults));
      return this.#writeOrRelease(next, current.value);
    });
  }

  async remove(namespace: string, name: string, { uid, resourceVersion, ...wish }: RemoveOptions = {}): Promise<void> {
    await this.deleteObject(namespace, name, { ...wish, preconditions: { uid, resourceVersion } });
  }

  /** Deletes as far as grace and finalizers allow now. */
  async deleteObject(namespace: string, name: string, request: DeleteRequest = {}): Promise<WriteResult<T>> {
    return this.#modify(namespace, name, request, (current) => {
      checkPreconditions(this.definition, current, request.preconditions ?? {});
      return planDeletion(this.definition.strategy, current.value, request, this.#now());
    });
  }

  notFound(name: string): TesseraError {
    return new TesseraError("NotFound", `${qualifiedResource(this.definition)} ${JSON.stringify(name)} not found`, {
      details: this.#details(name),
    });
  }

  async #insert(object: T, namespace: string, dryRun: boolean): Promise<WriteResult<T>> {
    const name = object.metadata?.name ?? "";
    const key = this.#key(namespace, name);
    const stored = encodeObject(object);
    const exists = () =>
      new TesseraError("AlreadyExists", `${qualifiedResource(this.definition)} ${JSON.stringify(name)} already exists`, {
        details: this.#details(name),
      });
    if (dryRun) {
      if ((await this.#store.read(key)) !== undefined) throw exists();
      return { object: new DryRunObject<T>(object), removed: false };
    }
    try {
      const revision = await this.#store.create(key, stored);
      return { object: new StoredObject<T>(stored, revision), removed: false };
    } catch (error) {
      throw error instanceof TesseraError && error.reason === "AlreadyExists" ? exists() : error;
    }
  }

  /** Read, decide, compare-and-swap; again from the newest state after a conflict or when the decision was made on a stale one. */
  async #modify(
    namespace: string,
    name: string,
    options: WriteOptions,
    decide: (current: CachedObject<T>) => Decision<T> | Promise<Decision<T>>,
  ): Promise<WriteResult<T>> {
    const cached = this.cache.get(namespace, name);
    let current = cached ?? (await this.read(namespace, name));
    let isNewest = cached === undefined;
    for (let attempt = 1; ; attempt++) {
      let decision: Decision<T> | undefined;
      let refusal: unknown;
      try {
        decision = await decide(current);
      } catch (error) {
        refusal = error;
      }
      if (decision === undefined || decision.do === "nothing") {
        const newest = isNewest ? current : await this.read(namespace, name);
        if (newest.revision === current.revision) {
          if (decision === undefined) throw refusal;
          return { object: current, removed: false };
        }
        current = newest;
        isNewest = true;
        continue;
      }
      try {
        return await this.#apply(namespace, name, current, decision, options.dryRun === true);
      } catch (error) {
        if (!(error instanceof TesseraError)) throw error;
        if (error.reason === "NotFound") throw this.notFound(name);
        if (error.reason !== "Conflict") throw error;
        if (attempt >= maxAttempts) throw writeConflict(this.definition, name, "too many writers at once; try again", error);
      }
      current = await this.read(namespace, name);
      isNewest = true;
    }
  }

  async #apply(
    namespace: string,
    name: string,
    current: CachedObject<T>,
    decision: Exclude<Decision<T>, { do: "nothing" }>,
    dryRun: boolean,
  ): Promise<WriteResult<T>> {
    const removed = decision.do === "remove";
    if (dryRun) return { object: new DryRunObject<T>(decision.next, current.revision), removed };
    const key = this.#key(namespace, name);
    const stored = encodeObject(decision.next);
    const revision = removed ? await this.#store.remove(key, current.revision) : await this.#store.update(key, stored, current.revision);
    return { object: new StoredObject<T>(stored, revision), removed };
  }

  /** The write that brings `next`; a deletion that was waiting only for what `next` gives up happens now. */
  #writeOrRelease(next: T, current: T): Decision<T> {
    const { strategy } = this.definition;
    const meta: NonNullable<T["metadata"]> = { ...next.metadata, resourceVersion: current.metadata?.resourceVersion };
    if (strategy.isNewGeneration?.(next, current) === true) meta.generation = (current.metadata?.generation ?? 0) + 1;
    const written: T = { ...next, metadata: meta };
    const waits = (meta.finalizers?.length ?? 0) > 0 || strategy.isHeld?.(written) === true || (meta.deletionGracePeriodSeconds ?? 0) > 0;
    if (meta.deletionTimestamp !== undefined && !waits) return { do: "remove", next: written };
    return isDeepStrictEqual(written, current) ? { do: "nothing" } : { do: "write", next: written };
  }

  #refuse(object: T, faults: readonly Fault[]): void {
    if (faults.length === 0) return;
    throw invalidObject(this.definition.kind, this.definition.group, object.metadata?.name ?? object.metadata?.generateName ?? "", faults);
  }

  #details(name: string): { name: string; group: string; kind: string } {
    return { name, group: this.definition.group, kind: this.definition.plural };
  }

  #key(namespace: string, name: string): string {
    return storeKey(this.definition.plural, this.definition.namespaced ? namespace : "", name);
  }
}

/** What a dry run would have written. */
class DryRunObject<T extends ApiObject> implements CachedObject<T> {
  readonly value: T;
  readonly revision: number;
  readonly bytes: Buffer;

  constructor(value: T, revision = 0) {
    this.value = value;
    this.revision = revision;
    this.bytes = Buffer.from(JSON.stringify(value));
  }

  get namespace(): string {
    return this.value.metadata?.namespace ?? "";
  }

  get name(): string {
    return this.value.metadata?.name ?? "";
  }

  get uid(): string {
    return this.value.metadata?.uid ?? "";
  }
}
