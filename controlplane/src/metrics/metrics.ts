import { Counter, Gauge, Histogram, Registry as MetricRegistry } from "prom-client";
import { qualifiedResource } from "../registry/definition.ts";
import type { StoredRegistry } from "../registry/stored-registry.ts";

/** What of the control plane is only counted when somebody looks. */
export interface MetricSources {
  readonly registry: Pick<StoredRegistry, "all">;
  /** Nodes that have a session. */
  sessions(): number;
  /** Nodes that have reported of late what they use. */
  reportingNodes(): number;
  /** Objects whose newest state cannot be decrypted. */
  unreadable(): number;
}

/** What a request was for. */
export interface RequestLabels {
  /** As for authorization: "list", "watch", ...; for other paths the method in lower case. */
  verb: string;
  /** "pods", "pods/log", "leases.coordination.k8s.io"; "" for paths that are no resource. */
  resource: string;
}

const durationBucketsSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** What the control plane counts of itself, in the form that Prometheus reads. One per process; nothing is global. */
export class Metrics {
  readonly #registry = new MetricRegistry();
  readonly #requests: Counter<"verb" | "resource" | "code">;
  readonly #durations: Histogram<"verb" | "resource">;
  readonly #open: Gauge<"verb" | "resource">;

  constructor(sources: MetricSources) {
    const registers = [this.#registry];
    this.#requests = new Counter({
      name: "tessera_api_requests_total",
      help: "Requests that were answered.",
      labelNames: ["verb", "resource", "code"],
      registers,
    });
    this.#durations = new Histogram({
      name: "tessera_api_request_duration_seconds",
      help: "Time until a request's answer was known; without those that stay open.",
      labelNames: ["verb", "resource"],
      buckets: durationBucketsSeconds,
      registers,
    });
    this.#open = new Gauge({
      name: "tessera_api_open_requests",
      help: "Answers that go on: watches, followed logs.",
      labelNames: ["verb", "resource"],
      registers,
    });
    observeSources(sources, registers);
    observeProcess(registers);
  }

  /** Counts a request when its answer is known. */
  answered(labels: RequestLabels, code: number, seconds: number, staysOpen: boolean): void {
    this.#requests.inc({ ...labels, code });
    if (!staysOpen) this.#durations.observe({ ...labels }, seconds);
  }

  /** The same pieces; counted as open from the first until the last, or until the reader leaves. */
  async *whileOpen(labels: RequestLabels, body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    this.#open.inc({ ...labels });
    try {
      yield* body;
    } finally {
      this.#open.dec({ ...labels });
    }
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

function observeSources(sources: MetricSources, registers: MetricRegistry[]): void {
  new Gauge({
    name: "tessera_store_objects",
    help: "Objects in the watch cache.",
    labelNames: ["resource"],
    registers,
    collect() {
      for (const { definition, cache } of sources.registry.all()) this.set({ resource: qualifiedResource(definition) }, cache.size);
    },
  });
  new Gauge({
    name: "tessera_store_revision",
    help: "The newest resourceVersion that the watch cache has seen.",
    registers,
    collect() {
      this.set(Math.max(0, ...sources.registry.all().map(({ cache }) => cache.revision)));
    },
  });
  new Gauge({
    name: "tessera_store_unreadable_objects",
    help: "Objects that etcd holds in a form that no encryption key opens.",
    registers,
    collect() {
      this.set(sources.unreadable());
    },
  });
  new Gauge({
    name: "tessera_node_sessions",
    help: "Nodes whose agent has a session with this control plane.",
    registers,
    collect() {
      this.set(sources.sessions());
    },
  });
  new Gauge({
    name: "tessera_usage_nodes",
    help: "Nodes whose use of CPU and memory is known, from whichever control plane.",
    registers,
    collect() {
      this.set(sources.reportingNodes());
    },
  });
}

/** Of prom-client's own process metrics only those that cost nothing while nobody looks. */
function observeProcess(registers: MetricRegistry[]): void {
  new Counter({
    name: "process_cpu_seconds_total",
    help: "CPU time of the process.",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  new Gauge({
    name: "process_resident_memory_bytes",
    help: "Memory of the process.",
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  new Gauge({
    name: "process_start_time_seconds",
    help: "When the process was started, in seconds since 1970.",
    registers,
    collect() {
      this.set(Math.round(Date.now() / 1000 - process.uptime()));
    },
  });
}
