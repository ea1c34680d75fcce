import type { Logger } from "pino";
import type { ServiceAccountTokens } from "../auth/service-account-tokens.ts";
import type { TokenTable } from "../auth/tokens.ts";
import type { EventStore } from "../events/events.ts";
import type { NodeJoin } from "../join/node-join.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { NodeStreams } from "../nodes/node-streams.ts";
import type { StoredRegistry } from "../registry/stored-registry.ts";
import type { Store } from "../store/store.ts";
import type { WatchCache } from "../store/watch-cache.ts";
import type { UsageSource } from "../usage/usage.ts";
import { accessReviews } from "./access-reviews.ts";
import { ApiHandler, type ServedResource } from "./api-handler.ts";
import { Discovery } from "./discovery.ts";
import { eventForms } from "./event-forms.ts";
import { EventReader } from "./event-reader.ts";
import { EventResource } from "./event-resource.ts";
import type { HealthCheck } from "./health.ts";
import { HttpsServer, type HttpsServerOptions } from "./https-server.ts";
import { metricsReaders } from "./metrics-reader.ts";
import { NodeJoinEndpoint } from "./node-join.ts";
import { OpenApi } from "./openapi.ts";
import { bindingResource } from "./pod-binding.ts";
import type { SchedulingReasons } from "./pod-scheduling.ts";
import { selfSubjectReviews } from "./self-subject-review.ts";
import { StoredReader } from "./stored-reader.ts";
import { tokenReviews } from "./token-review.ts";

export interface ApiOptions extends Pick<HttpsServerOptions, "listen" | "tls"> {
  readonly registry: StoredRegistry;
  readonly store: Store;
  readonly caches: Pick<WatchCache, "ready">;
  readonly events: EventStore;
  readonly usage: UsageSource;
  readonly metrics: Metrics;
  readonly nodeStreams: NodeStreams;
  readonly scheduling: SchedulingReasons;
  readonly tokens: TokenTable;
  readonly serviceAccountTokens: ServiceAccountTokens;
  readonly nodeJoin: NodeJoin;
  /** Port of the node protocol. */
  readonly nodePort: () => number;
  readonly log: Logger;
  readonly now: () => number;
  /** How long a request may wait for a version that the cache has not seen yet. */
  readonly freshnessTimeoutMs?: number;
}

/** The HTTPS API over all that it serves. */
export function createApi(options: ApiOptions): HttpsServer {
  const { registry, store, events, usage, metrics, nodeStreams, scheduling, tokens, log, now } = options;
  const resources: ServedResource[] = [
    ...registry
      .all()
      .map((resource) => ({ resource, reader: new StoredReader({ resource, store, freshnessTimeoutMs: options.freshnessTimeoutMs }) })),
    ...eventForms.map((form) => ({
      reader: new EventReader({ events, form }),
      resource: new EventResource({ form, events, registry, now }),
    })),
    ...metricsReaders(registry, usage).map((reader) => ({ reader })),
  ];
  const virtual = [
    selfSubjectReviews,
    tokenReviews(tokens, options.serviceAccountTokens),
    ...accessReviews,
    bindingResource({ registry, now }),
  ];
  const discovery = new Discovery(
    resources.map(({ reader }) => reader.definition),
    virtual,
  );
  const handler = new ApiHandler({
    registry,
    store,
    events,
    nodeStreams,
    scheduling,
    serviceAccountTokens: options.serviceAccountTokens,
    tokens,
    log,
    now,
    resources,
    virtual,
    discovery,
    metrics,
    openApi: new OpenApi(discovery.groupVersions),
    nodeJoin: new NodeJoinEndpoint({ join: options.nodeJoin, nodePort: options.nodePort, now }),
    readiness: readinessChecks(options),
  });
  return new HttpsServer({ handler, listen: options.listen, tls: options.tls, log });
}

function readinessChecks({ caches, store }: ApiOptions): HealthCheck[] {
  const within = async (signal: AbortSignal, what: Promise<unknown>, otherwise: string): Promise<void> => {
    await Promise.race([
      what,
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error(otherwise)), { once: true })),
    ]);
  };
  return [
    { name: "etcd", check: (signal) => within(signal, store.currentRevision(), "etcd does not answer") },
    { name: "cache", check: (signal) => within(signal, caches.ready, "the first listing is not in yet") },
  ];
}
