import type { EtcdClient, EtcdEvent } from "./etcd-client.ts";

export interface FollowOptions {
  readonly client: EtcdClient;
  readonly prefix: string;
  /** A key below the prefix that is written to see whether its change is told. */
  readonly canaryKey: string;
  readonly silenceMs: number;
  /** How long a watch may take to open, and a canary to be told. */
  readonly patienceMs: number;
  /** The watch starts after it; asked again whenever it matters. */
  readonly lastRevision: () => number;
  readonly onEvents: (events: readonly EtcdEvent[]) => void;
  readonly signal: AbortSignal;
}

export type FollowEnd = {
  /**
   * "compacted": etcd no longer has the revision to go on from. "rewound": etcd is at an older revision than we have seen. "lost":
   * everything that a new watch mends.
   */
  readonly reason: "compacted" | "rewound" | "lost" | "aborted";
  readonly error?: unknown;
};

/**
 * One watch of etcd, from its opening to its end. Silence is not trusted: a watch whose connection lives but which tells nothing any more
 * looks exactly like a quiet store, so after a while of silence a canary is written, and must be told.
 */
export async function followEtcd(options: FollowOptions): Promise<FollowEnd> {
  const { client, signal, patienceMs } = options;
  const { promise, resolve: end } = Promise.withResolvers<FollowEnd>();
  let heardAt = performance.now();
  let isOpen = false;
  let canary: "none" | "written" = "none";
  let timer: NodeJS.Timeout | undefined;

  const check = async (): Promise<void> => {
    const silentMs = performance.now() - heardAt;
    const allowedMs = isOpen && canary === "none" ? options.silenceMs : patienceMs;
    if (silentMs < allowedMs) {
      timer = setTimeout(check, allowedMs - silentMs + 1).unref();
      return;
    }
    if (!isOpen || canary === "written") {
      client.abandonWatchConnection();
      return end({ reason: "lost", error: new Error(`etcd's watch says nothing: ${isOpen ? "a write was not told" : "not opened"}`) });
    }
    try {
      await client.touch(options.canaryKey);
      canary = "written";
      // Its event may have come before the answer did.
      if (performance.now() - heardAt < silentMs) canary = "none";
      else heardAt = performance.now();
    } catch {
      // etcd is away, of which the connection will tell.
      heardAt = performance.now();
    }
    timer = setTimeout(check, 1).unref();
  };

  const close = client.watch(options.prefix, options.lastRevision() + 1, {
    onOpen: (revision) => {
      isOpen = true;
      heardAt = performance.now();
      if (revision < options.lastRevision()) {
        // Of one member that lags behind, or of all: only a linearizable read can tell.
        client.range({ key: "\0" }).then(
          (newest) => newest.revision < options.lastRevision() && end({ reason: "rewound" }),
          (error) => end({ reason: "lost", error }),
        );
      }
    },
    onEvents: (events) => {
      heardAt = performance.now();
      canary = "none";
      if (events.length > 0) options.onEvents(events);
    },
    onEnd: ({ compacted, error }) => end({ reason: compacted ? "compacted" : "lost", error }),
  });
  timer = setTimeout(check, patienceMs).unref();
  const abort = (): void => end({ reason: "aborted" });
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await promise;
  } finally {
    close();
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}
