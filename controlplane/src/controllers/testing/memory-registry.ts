import { randomUUID } from "node:crypto";
import {
  type ConfigMap,
  type Lease,
  type Namespace,
  type Node,
  type ObjectMeta,
  type Pod,
  type PodDisruptionBudget,
  type Secret,
  type ServiceAccount,
  TesseraError,
} from "@tessera/proto";
import type { ResourceDefinition } from "../../registry/definition.ts";
import { definitions } from "../../registry/definitions.ts";
import type { RegisteredResource, Registry, Resource } from "../../registry/resource.ts";
import type { CachedObject, CacheEvent, ResourceCache } from "../../store/cache.ts";

interface ApiObject {
  readonly metadata?: ObjectMeta;
  readonly spec?: object;
  readonly status?: object;
}

/** A Registry without etcd, for tests of parts that only read caches and write objects. Its revisions are one counter over all resources. */
export class MemoryRegistry implements Registry {
  readonly #revision = { value: 0 };
  readonly pods = new MemoryResource<Pod>(definitions.pods, this.#revision, (pod) => Boolean(pod.spec?.nodeName));
  readonly nodes = new MemoryResource<Node>(definitions.nodes, this.#revision);
  readonly namespaces = new MemoryResource<Namespace>(definitions.namespaces, this.#revision);
  readonly configMaps = new MemoryResource<ConfigMap>(definitions.configMaps, this.#revision);
  readonly secrets = new MemoryResource<Secret>(definitions.secrets, this.#revision);
  readonly serviceAccounts = new MemoryResource<ServiceAccount>(definitions.serviceAccounts, this.#revision);
  readonly leases = new MemoryResource<Lease>(definitions.leases, this.#revision);
  readonly podDisruptionBudgets = new MemoryResource<PodDisruptionBudget>(definitions.podDisruptionBudgets, this.#revision);

  get revision(): number {
    return this.#revision.value;
  }

  all(): readonly RegisteredResource[] {
    const { pods, nodes, namespaces, configMaps, secrets, serviceAccounts, leases, podDisruptionBudgets } = this;
    return [pods, nodes, namespaces, configMaps, secrets, serviceAccounts, leases, podDisruptionBudgets].map(
      (each) => each as unknown as RegisteredResource,
    );
  }
}

export class MemoryResource<T extends ApiObject> implements Resource<T> {
  readonly cache: MemoryCache<T>;
  /** Called before each write; throw from it to make the write fail. */
  beforeWrite: (object: T) => void | Promise<void> = () => {};
  readonly definition: ResourceDefinition<T>;
  readonly #isGraceful: (object: T) => boolean;
  constructor(definition: ResourceDefinition<T>, revision: { value: number }, isGraceful: (object: T) => boolean = () => false) {
    this.definition = definition;
    this.#isGraceful = isGraceful;
    this.cache = new MemoryCache<T>(revision);
  }

  async create(object: T): Promise<T> {
    await this.beforeWrite(object);
    const { namespace = "", name = "" } = object.metadata ?? {};
    if (this.cache.get(namespace, name)) throw new TesseraError("AlreadyExists", `${this.definition.plural} "${name}" already exists`);
    const metadata = { ...object.metadata, uid: randomUUID(), creationTimestamp: new Date().toISOString(), generation: 1 };
    return this.cache.put({ ...object, metadata });
  }

  async mutate(namespace: string, name: string, change: (current: T) => T | undefined, options: { uid?: string } = {}): Promise<T> {
    await Promise.resolve();
    for (;;) {
      const current = this.#current(namespace, name, options.uid);
      const next = change(current.value);
      if (!next) return current.value;
      await this.beforeWrite(next);
      if (this.cache.get(namespace, name)?.revision !== current.revision) continue;
      const changed = JSON.stringify(next.spec) !== JSON.stringify(current.value.spec);
      const generation = (current.value.metadata?.generation ?? 1) + (changed ? 1 : 0);
      const written = { ...next, metadata: { ...next.metadata, generation } };
      if (next.metadata?.deletionTimestamp && !next.metadata.deletionGracePeriodSeconds && !hasFinalizers(next)) {
        this.cache.drop(namespace, name);
        return written;
      }
      return this.cache.put(written);
    }
  }

  async remove(namespace: string, name: string, options: { uid?: string; graceSeconds?: number } = {}): Promise<void> {
    await Promise.resolve();
    const current = this.#current(namespace, name, options.uid);
    await this.beforeWrite(current.value);
    const graceSeconds = options.graceSeconds ?? (this.#isGraceful(current.value) ? 30 : 0);
    if (graceSeconds === 0 && !hasFinalizers(current.value)) {
      this.cache.drop(namespace, name);
      return;
    }
    const deletionTimestamp = current.value.metadata?.deletionTimestamp ?? new Date().toISOString();
    this.cache.put({
      ...current.value,
      metadata: { ...current.value.metadata, deletionTimestamp, deletionGracePeriodSeconds: graceSeconds },
    });
  }

  #current(namespace: string, name: string, uid: string | undefined): CachedObject<T> {
    const current = this.cache.get(namespace, name);
    if (!current || (uid !== undefined && uid !== current.uid))
      throw new TesseraError("NotFound", `${this.definition.plural} "${name}" not found`);
    return current;
  }
}

function hasFinalizers(object: ApiObject): boolean {
  const inSpec = (object.spec as { finalizers?: string[] } | undefined)?.finalizers ?? [];
  return inSpec.length + (object.metadata?.finalizers ?? []).length > 0;
}

export class MemoryCache<T extends ApiObject> implements ResourceCache<T> {
  readonly #revision: { value: number };
  readonly #objects = new Map<string, CachedObject<T>>();
  readonly #listeners = new Set<(event: CacheEvent<T>) => void>();
  constructor(revision: { value: number }) {
    this.#revision = revision;
  }

  get revision(): number {
    return this.#revision.value;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(namespace: string, name: string): CachedObject<T> | undefined {
    return this.#objects.get(`${namespace}/${name}`);
  }

  isUnreadable(): boolean {
    return false;
  }

  list(namespace = ""): Iterable<CachedObject<T>> {
    return [...this.#objects.values()].filter((object) => namespace === "" || object.namespace === namespace);
  }

  async waitFor(revision: number): Promise<void> {
    if (revision > this.revision) throw new TesseraError("Timeout", `the cache has not seen revision ${revision}`);
  }

  // biome-ignore lint/correctness/useYield: nobody who is tested with this registry watches
  async *watch(): AsyncGenerator<readonly CacheEvent<T>[]> {
    throw new Error("the memory registry has no watch");
  }

  onChange(listener: (event: CacheEvent<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  put(object: T): T {
    const { namespace = "", name = "", uid = "" } = object.metadata ?? {};
    const key = `${namespace}/${name}`;
    const previous = this.#objects.get(key);
    const cached = this.#cached({ ...object }, namespace, name, uid);
    this.#objects.set(key, cached);
    this.#emit(previous ? { type: "MODIFIED", object: cached, previous } : { type: "ADDED", object: cached });
    return cached.value;
  }

  drop(namespace: string, name: string): void {
    const previous = this.#objects.get(`${namespace}/${name}`);
    if (!previous) return;
    this.#objects.delete(`${namespace}/${name}`);
    this.#emit({ type: "DELETED", object: this.#cached(previous.value, namespace, name, previous.uid), previous });
  }

  #cached(object: T, namespace: string, name: string, uid: string): CachedObject<T> {
    const revision = ++this.#revision.value;
    const metadata = { ...object.metadata, resourceVersion: String(revision) };
    const bytes = Buffer.from(JSON.stringify({ ...object, metadata }));
    return { namespace, name, uid, revision, bytes, value: deepFreeze(JSON.parse(bytes.toString()) as T) };
  }

  #emit(event: CacheEvent<T>): void {
    for (const listener of this.#listeners) listener(event);
  }
}

function deepFreeze<V>(value: V): V {
  if (typeof value === "object" && value !== null) for (const part of Object.values(Object.freeze(value))) deepFreeze(part);
  return value;
}
