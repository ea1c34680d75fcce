import { TesseraError } from "@tessera/proto";
import type { LogRequest } from "@tessera/proto/node";
import { type LogEnd, type LogOptions, readLog } from "../logs/log-reader.ts";
import { logPath } from "../pod/store.ts";
import { containerStatuses, findContainer } from "../pod/wanted.ts";
import type { PodWorker } from "../pod/worker.ts";
import type { StreamPeer } from "./stream-peer.ts";

export interface LogTarget {
  readonly path: string;
  readonly options: LogOptions;
  readonly end: LogEnd;
}

/** Which file to read and how. Throws TesseraError when the container has no such log, in Kubernetes' words. */
export function findLog(worker: PodWorker, request: LogRequest): LogTarget {
  const { want, state, folders } = worker;
  const container = findContainer(want, request.container || (want.apps[0]?.name ?? ""));
  const who = `container "${request.container}" in pod "${want.name}"`;
  if (container === undefined) throw new TesseraError("BadRequest", `container ${request.container} is not valid for pod ${want.name}`);
  const observed = state.containers.get(container.name);
  const hasRun = observed?.state.is === "running" || observed?.state.is === "exited";
  const attempt = (observed?.attempt ?? 0) - (request.previous || (!hasRun && (observed?.attempt ?? 0) > 0) ? 1 : 0);
  if (request.previous && attempt < 0) throw new TesseraError("BadRequest", `previous terminated ${who} not found`);
  if (!request.previous && !hasRun && (observed?.attempt ?? 0) === 0) {
    throw new TesseraError("BadRequest", `${who} is waiting to start: ${waitingReason(worker, container.name)}`);
  }
  const sinceMs = request.sinceTime === "" ? undefined : Date.parse(request.sinceTime);
  if (Number.isNaN(sinceMs)) throw new TesseraError("BadRequest", `sinceTime "${request.sinceTime}" is not a time`);
  return {
    path: logPath(folders, container.name, attempt),
    options: {
      follow: request.follow && !request.previous,
      timestamps: request.timestamps,
      ...(request.tailLines === undefined ? {} : { tailLines: Number(request.tailLines) }),
      ...(sinceMs === undefined ? {} : { sinceMs }),
      ...(request.only === "stdout" || request.only === "stderr" ? { only: request.only } : {}),
      ...(request.limitBytes === undefined ? {} : { limitBytes: Number(request.limitBytes) }),
    },
    end: {
      hasEnded: () => !worker.isRunning(container.name, attempt),
      onChange: (listener) => worker.onChange(listener),
    },
  };
}

function waitingReason(worker: PodWorker, name: string): string {
  const status = containerStatuses(worker.status()).find((one) => one.name === name);
  return status?.state?.waiting?.reason ?? "ContainerCreating";
}

/** Sends the log as stdout frames, however its lines were written: their order is worth more than their stream. */
export async function serveLog({ path, options, end }: LogTarget, peer: StreamPeer): Promise<void> {
  // The reader of a followed log may hang up at any time; nothing else is expected from it.
  void drain(peer);
  let pending: Buffer[] = [];
  let size = 0;
  for await (const piece of readLog(path, options, end, peer.signal)) {
    pending.push(piece);
    size += piece.length;
    if (size < BATCH_BYTES && !options.follow) continue;
    await peer.send("stdout", Buffer.concat(pending, size));
    pending = [];
    size = 0;
  }
  await peer.send("stdout", Buffer.concat(pending, size));
  await peer.exit({});
}

const BATCH_BYTES = 32 * 1024;

async function drain(peer: StreamPeer): Promise<void> {
  try {
    for await (const _frame of peer.frames());
  } catch {
    // A lost stream ends the reading through the peer's signal.
  }
}
