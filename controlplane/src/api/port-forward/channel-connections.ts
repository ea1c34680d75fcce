import type { WebSocket } from "ws";
import { type ForwardedConnection, type ForwardTarget, forward } from "./forwarded-connection.ts";

/*
 * Port forwarding in the channels of remote commands, one WebSocket for one connection to each of its ports: for the port of number N in the
 * query, channel 2N is its data and channel 2N+1 brings errors. Both begin with the port as two bytes, the low one first. In version 5 a
 * message on channel 255 tells, by the number of a channel, that its sender has no more for it; this side says so as well.
 */

export const maxPorts = 64;
const closeSignal = 255;
const withCloseSignal = "v5.channel.k8s.io";
const maxQueuedBytes = 1024 * 1024;

/** Serves the connections to all ports until they are over or the client is gone. */
export async function serveChannels(socket: WebSocket, protocol: string, ports: readonly number[], target: ForwardTarget): Promise<void> {
  const channels = ports.map((port, index) => new Channel(socket, protocol === withCloseSignal, index * 2, port));
  socket.binaryType = "nodebuffer";
  socket.on("message", (data, isBinary) => {
    const message = data as Buffer;
    const number = message[0] ?? closeSignal;
    if (!isBinary || message.length === 0) return;
    if (number === closeSignal) channels[(message[1] ?? closeSignal) / 2]?.end();
    // What comes on an error channel says nothing.
    else if (number % 2 === 0) channels[number / 2]?.receive(message.subarray(1));
    if (channels.some((channel) => channel.isFull)) socket.pause();
  });
  socket.once("close", () => {
    for (const channel of channels) channel.breakOff();
  });
  const resume = () => !channels.some((channel) => channel.isFull) && socket.resume();
  await Promise.all(channels.map((channel) => channel.serve(target, resume)));
}

class Channel implements ForwardedConnection {
  readonly port: number;
  readonly input: AsyncIterable<Buffer>;
  readonly #socket: WebSocket;
  readonly #tellsEnd: boolean;
  readonly #number: number;
  readonly #queue: Buffer[] = [];
  readonly #broken = new AbortController();
  #queuedBytes = 0;
  #hasInputEnded = false;
  #hasOutputEnded = false;
  #wake: () => void = () => {};
  #resume: () => void = () => {};

  constructor(socket: WebSocket, tellsEnd: boolean, number: number, port: number) {
    this.#socket = socket;
    this.#tellsEnd = tellsEnd;
    this.#number = number;
    this.port = port;
    this.input = { [Symbol.asyncIterator]: () => this.#read() };
  }

  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  get isFull(): boolean {
    return this.#queuedBytes > maxQueuedBytes;
  }

  async serve(target: ForwardTarget, resume: () => void): Promise<void> {
    this.#resume = resume;
    const port = Buffer.alloc(2);
    port.writeUInt16LE(this.port);
    await this.#send(this.#number, port);
    await this.#send(this.#number + 1, port);
    await forward(target, this);
  }

  receive(data: Buffer): void {
    if (this.#hasInputEnded || this.#broken.signal.aborted) return;
    this.#queue.push(data);
    this.#queuedBytes += data.length;
    this.#wake();
  }

  end(): void {
    this.#hasInputEnded = true;
    this.#wake();
  }

  breakOff(): void {
    this.#broken.abort();
    this.#queue.length = 0;
    this.#wake();
  }

  async write(data: Uint8Array): Promise<void> {
    await this.#send(this.#number, data);
  }

  async endOutput(): Promise<void> {
    if (this.#hasOutputEnded || !this.#tellsEnd) return;
    this.#hasOutputEnded = true;
    await this.#send(closeSignal, Buffer.of(this.#number));
  }

  async fail(message: string): Promise<void> {
    await this.#send(this.#number + 1, Buffer.from(message));
  }

  async *#read(): AsyncGenerator<Buffer> {
    for (;;) {
      this.#broken.signal.throwIfAborted();
      const data = this.#queue.shift();
      if (data !== undefined) {
        this.#queuedBytes -= data.length;
        this.#resume();
        yield data;
      } else if (this.#hasInputEnded) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  #send(channel: number, data: Uint8Array): Promise<void> {
    this.#broken.signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const message = Buffer.concat([Buffer.of(channel), data]);
      this.#socket.send(message, { binary: true }, (error) => (error ? reject(error) : resolve()));
    });
  }
}
