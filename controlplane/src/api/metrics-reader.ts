import { type Node, type Pod, TesseraError } from "@tessera/proto";
import { type ApiObject, qualifiedResource } from "../registry/definition.ts";
import { type AnyDefinition, anyDefinition, definitions } from "../registry/definitions.ts";
import type { Registry } from "../registry/resource.ts";
import type { CachedObject, ResourceCache } from "../store/cache.ts";
import { toNodeMetrics, toPodMetrics } from "../usage/metrics-objects.ts";
import type { UsageSource } from "../usage/usage.ts";
import type { AnyObject, ListQuery, ListResult, ResourceReader, WatchItem } from "./reader.ts";

interface MetricsReaderDependencies<Owner> {
  readonly definition: AnyDefinition;
  /** The objects whose use is told. */
  readonly owners: ResourceCache<Owner>;
  /** Undefined while nothing is known. */
  readonly measure: (owner: Owner, uid: string) => ApiObject | undefined;
}

/** Reads of what nodes or pods use: made from their newest samples at the moment of asking, without versions. */
class MetricsReader<Owner> implements ResourceReader {
  readonly definition: AnyDefinition;
  readonly #deps: MetricsReaderDependencies<Owner>;

  constructor(dependencies: MetricsReaderDependencies<Owner>) {
    this.definition = dependencies.definition;
    this.#deps = dependencies;
  }

  async get(namespace: string, name: string): Promise<AnyObject> {
    const { definition, owners } = this.#deps;
    const owner = owners.get(namespace, name);
    const [found] = owner === undefined ? [] : this.#toObjects(owner);
    if (found !== undefined) return found;
    const why = owner === undefined ? "" : ": nothing was reported of it of late, or only once";
    throw new TesseraError("NotFound", `${qualifiedResource(definition)} ${JSON.stringify(name)} not found${why}`, {
      details: { name, group: definition.group, kind: definition.plural },
    });
  }

  /** In one piece, whatever the limit: the samples of the next piece would be others. */
  async list({ selection: { namespace, name, matches } }: ListQuery): Promise<ListResult> {
    const items: AnyObject[] = [];
    for (const owner of this.#deps.owners.list(namespace)) {
      if (name !== undefined && owner.name !== name) continue;
      for (const object of this.#toObjects(owner)) if (matches === undefined || matches(object)) items.push(object);
    }
    return { items, resourceVersion: "", continueToken: "" };
  }

  // biome-ignore lint/correctness/useYield: there is nothing to watch
  async *watch(): AsyncGenerator<readonly WatchItem[]> {
    throw new TesseraError("MethodNotAllowed", `${qualifiedResource(this.definition)} cannot be watched`);
  }

  #toObjects({ namespace, name, uid, value }: CachedObject<Owner>): AnyObject[] {
    const metrics = this.#deps.measure(value, uid);
    if (metrics === undefined) return [];
    return [
      {
        namespace,
        name,
        uid: "",
        revision: 0,
        value: metrics,
        get bytes() {
          return Buffer.from(JSON.stringify(metrics));
        },
      },
    ];
  }
}

/** NodeMetrics and PodMetrics. A pod's use is what the node says to which it is bound, and nobody else. */
export function metricsReaders(registry: Pick<Registry, "nodes" | "pods">, usage: UsageSource): ResourceReader[] {
  return [
    new MetricsReader<Node>({
      definition: anyDefinition(definitions.nodeMetrics),
      owners: registry.nodes.cache,
      measure: (node) => {
        const measured = usage.ofNode(node.metadata?.name ?? "");
        return measured && toNodeMetrics(node, measured);
      },
    }),
    new MetricsReader<Pod>({
      definition: anyDefinition(definitions.podMetrics),
      owners: registry.pods.cache,
      measure: (pod, uid) => {
        const measured = usage.ofPod(pod.spec?.nodeName ?? "", uid);
        return measured && toPodMetrics(pod, measured);
      },
    }),
  ];
}
