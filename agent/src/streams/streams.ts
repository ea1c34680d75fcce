import { type StatusReason, TesseraError } from "@tessera/proto";
import type { AttachRequest, OpenStream } from "@tessera/proto/node";
import { type Runtime, RuntimeError } from "@tessera/runtime-native";
import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import { usedImages } from "../disk/pods-on-disk.ts";
import type { ImageRemoval, ImageStore } from "../images/index.ts";
import { type Pods, requirePod } from "../pod/pods.ts";
import { attemptId } from "../pod/record.ts";
import { findContainer, type WantedContainer } from "../pod/wanted.ts";
import type { PodWorker } from "../pod/worker.ts";
import type { StreamCall } from "../session/node-session.ts";
import type { Outbox } from "../session/outbox.ts";
import { type AttachTarget, serveAttach } from "./attach.ts";
import { type ExecTarget, serveExec } from "./exec.ts";
import { serveImageLoad } from "./image-load.ts";
import { serveImageRemove } from "./image-remove.ts";
import { findLog, serveLog } from "./pod-log.ts";
import { serveForward } from "./port-forward.ts";
import { StreamPeer } from "./stream-peer.ts";

export interface StreamsDependencies {
  readonly pods: Pods;
  readonly runtime: Pick<Runtime, "exec" | "attach" | "connect">;
  readonly images: Pick<ImageStore & ImageRemoval, "load" | "resolve" | "remove" | "stored">;
  readonly outbox: Pick<Outbox, "refuse">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Images came to the node, or went. */
  readonly onImages: (names: readonly string[]) => void;
}

type Serve = (peer: StreamPeer) => Promise<void>;

/** Serves what the control plane wants streamed: exec, attach, logs, forwarded ports, image uploads. */
export class Streams {
  readonly #deps: StreamsDependencies;

  constructor(deps: StreamsDependencies) {
    this.#deps = deps;
  }

  /** What cannot be served is refused before a stream is opened; what fails later ends the stream with the reason. */
  open(request: OpenStream, dial: () => StreamCall): void {
    void this.#serve(request, dial);
  }

  async #serve({ streamId, request }: OpenStream, dial: () => StreamCall): Promise<void> {
    const { outbox, log } = this.#deps;
    let serve: Serve;
    try {
      serve = await this.#prepare(request);
    } catch (error) {
      const { reason, message } = explain(error);
      outbox.refuse(streamId, reason, message);
      return;
    }
    const peer = new StreamPeer(dial());
    try {
      await serve(peer);
    } catch (error) {
      if (peer.signal.aborted) return;
      const explained = explain(error);
      log.info({ err: error, kind: request?.$case }, "stream failed");
      await peer.exit(explained).catch(() => peer.cancel());
    }
  }

  async #prepare(request: OpenStream["request"]): Promise<Serve> {
    const { pods, runtime, images, clock, onImages } = this.#deps;
    switch (request?.$case) {
      case "exec": {
        const target = await this.#execTarget(request.value.podUid, request.value.container);
        return (peer) => serveExec(runtime, target, request.value, peer);
      }
      case "log": {
        const target = findLog(requirePod(pods, request.value.podUid), request.value);
        return (peer) => serveLog(target, peer);
      }
      case "imageLoad":
        return async (peer) => onImages(await serveImageLoad(images, peer));
      case "imageRemove": {
        const { images: names } = request.value;
        return async (peer) => onImages(await serveImageRemove({ images, usedImages: () => usedImages(pods) }, names, peer));
      }
      case "attach": {
        const target = this.#attachTarget(request.value);
        return (peer) => serveAttach({ runtime, clock }, target, request.value, peer);
      }
      case "portForward": {
        const { podUid, port } = request.value;
        const worker = requirePod(pods, podUid);
        if (worker.state.sandbox !== "there") throw new TesseraError("BadRequest", `pod ${worker.want.name} is not running`);
        return (peer) => serveForward(runtime, { sandbox: podUid, port }, peer);
      }
      default:
        throw new TesseraError("BadRequest", "the agent does not know this kind of stream");
    }
  }

  async #execTarget(uid: string, wantedName: string): Promise<ExecTarget> {
    const { worker, container, id } = this.#runningContainer(uid, wantedName);
    return { sandbox: uid, container: id, process: await worker.process(container) };
  }

  #attachTarget(request: AttachRequest): AttachTarget {
    const { container, id } = this.#runningContainer(request.podUid, request.container);
    const { stdin = false, stdinOnce = false, tty = false } = container.spec;
    return { sandbox: request.podUid, container: id, stdin, stdinOnce, tty, isEphemeral: container.kind === "ephemeral" };
  }

  #runningContainer(uid: string, wantedName: string): { worker: PodWorker; container: WantedContainer; id: string } {
    const worker = requirePod(this.#deps.pods, uid);
    const name = wantedName || (worker.want.apps[0]?.name ?? "");
    const container = findContainer(worker.want, name);
    if (container === undefined) throw new TesseraError("BadRequest", `container ${name} is not valid for pod ${worker.want.name}`);
    if (!worker.state.isRunning(name)) throw new TesseraError("BadRequest", `container not running (${name})`);
    return { worker, container, id: attemptId(name, worker.state.container(name).attempt) };
  }
}

function explain(error: unknown): { reason: StatusReason; message: string } {
  if (error instanceof TesseraError) return { reason: error.reason, message: error.message };
  if (error instanceof RuntimeError && error.reason === "NotFound") return { reason: "NotFound", message: error.message };
  return { reason: "InternalError", message: error instanceof Error ? error.message : String(error) };
}
