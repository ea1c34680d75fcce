import type { Status } from "@tessera/proto";
import type { StreamFrame } from "@tessera/proto/node";
import type { RawData, WebSocket } from "ws";
import { keepAlive } from "./socket-pings.ts";

/*
 * The remote command protocol over WebSocket, "v4.channel.k8s.io" and "v5.channel.k8s.io": each binary message begins with the number of its
 * channel. v5 adds a message that closes a channel, so that the client can end stdin.
 */

export const channelProtocols = ["v5.channel.k8s.io", "v4.channel.k8s.io"] as const;

const stdinChannel = 0;
const stdoutChannel = 1;
const stderrChannel = 2;
const errorChannel = 3;
const resizeChannel = 4;
const closeSignal = 255;

/** Frames to a node are not larger. */
const maxFrameBytes = 64 * 1024;
/** Of what the client sent and the node has not taken yet; beyond it the client's connection is not read. */
const maxQueuedBytes = 1024 * 1024;
const normalClosure = 1000;
const internalErrorClosure = 1011;

/** One client's side of an exec or attach. */
export class ChannelSocket {
  readonly #socket: WebSocket;
  readonly #queue: StreamFrame[] = [];
  readonly #closed = new AbortController();
  #queuedBytes = 0;
  #wake: () => void = () => {};

  /** Which of the client's channels are listened to. */
  constructor(socket: WebSocket, channels: { readonly stdin: boolean; readonly tty: boolean }) {
    this.#socket = socket;
    socket.binaryType = "nodebuffer";
    socket.on("message", (data, isBinary) => this.#receive(data, isBinary, channels));
    keepAlive(socket);
    // "close" follows and ends everything.
    socket.on("error", () => {});
    socket.once("close", () => {
      this.#closed.abort();
      this.#wake();
    });
  }

  /** Aborted when the client is gone. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** What the client sends, as frames for the node; ends when the client is gone. */
  async *frames(): AsyncGenerator<StreamFrame> {
    for (;;) {
      const frame = this.#queue.shift();
      if (frame !== undefined) {
        this.#queuedBytes -= sizeOf(frame);
        if (this.#queuedBytes < maxQueuedBytes / 2) this.#socket.resume();
        yield frame;
      } else if (this.#closed.signal.aborted) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  /** Tells the client that the connection stands, by an empty message on a channel that it reads. */
  async greet(channel: "stdout" | "stderr" | "error"): Promise<void> {
    await this.#send({ stdout: stdoutChannel, stderr: stderrChannel, error: errorChannel }[channel], Buffer.alloc(0));
  }

  /** Resolves when the client's side has room for more, or is gone. */
  async write(channel: "stdout" | "stderr", data: Uint8Array): Promise<void> {
    await this.#send(channel === "stdout" ? stdoutChannel : stderrChannel, data);
  }

  /** The last word. The closing code is normal only after a status was sent: clients take a normal end without one for success. */
  async end(status: Status): Promise<void> {
    const sent = await this.#send(errorChannel, Buffer.from(JSON.stringify(status)));
    this.#socket.close(sent ? normalClosure : internalErrorClosure);
  }

  #receive(data: RawData, isBinary: boolean, channels: { readonly stdin: boolean; readonly tty: boolean }): void {
    const message = data as Buffer;
    if (!isBinary || message.length === 0) return;
    const channel = message[0];
    const payload = message.subarray(1);
    if (channel === stdinChannel && channels.stdin) {
      for (let at = 0; at < payload.length; at += maxFrameBytes) {
        this.#push({ frame: { $case: "stdin", value: payload.subarray(at, at + maxFrameBytes) } });
      }
    } else if (channel === resizeChannel && channels.tty) {
      const size = parseSize(payload);
      if (size !== undefined) this.#push({ frame: { $case: "resize", value: size } });
    } else if (channel === closeSignal && payload[0] === stdinChannel && channels.stdin) {
      this.#push({ frame: { $case: "stdinClosed", value: {} } });
    }
  }

  #push(frame: StreamFrame): void {
    this.#queue.push(frame);
    this.#queuedBytes += sizeOf(frame);
    if (this.#queuedBytes > maxQueuedBytes) this.#socket.pause();
    this.#wake();
  }

  /** False when the client is gone. */
  #send(channel: number, data: Uint8Array): Promise<boolean> {
    if (this.#socket.readyState !== this.#socket.OPEN) return Promise.resolve(false);
    const message = Buffer.allocUnsafe(data.length + 1);
    message[0] = channel;
    message.set(data, 1);
    return new Promise((resolve) => {
      this.#socket.send(message, { binary: true }, (error) => resolve(!error));
    });
  }
}

function sizeOf({ frame }: StreamFrame): number {
  return frame?.$case === "stdin" ? frame.value.length : 0;
}

function parseSize(payload: Buffer): { columns: number; rows: number } | undefined {
  try {
    const { Width, Height } = JSON.parse(payload.toString()) as { Width?: unknown; Height?: unknown };
    const isSize = (value: unknown): value is number => Number.isInteger(value) && (value as number) > 0 && (value as number) < 65_536;
    return isSize(Width) && isSize(Height) ? { columns: Width, rows: Height } : undefined;
  } catch {
    // A size that cannot be read changes nothing.
    return undefined;
  }
}
