import {
  encodeData,
  encodeGoAway,
  encodePing,
  encodeReset,
  encodeSynReply,
  type Frame,
  FrameReader,
  goAwayStatus,
  type ResetStatus,
  resetStatus,
} from "./frames.ts";
import { HeaderReader, HeaderWriter } from "./header-block.ts";
import { SpdyError } from "./spdy-error.ts";
import { SpdyStream } from "./spdy-stream.ts";

export interface SpdySessionOptions {
  /** Sends bytes to the client; resolves when more may be sent. */
  readonly send: (bytes: Buffer) => Promise<void>;
  /** A stream that the client opened: what is to be done with it once it was accepted; undefined refuses it. */
  readonly onStream: (stream: SpdyStream, id: number) => (() => void) | undefined;
  readonly maxStreams: number;
  /** How long a stream that nobody reads may hold up others. */
  readonly stallTimeoutMs: number;
}

/**
 * The server's side of SPDY/3.1 as Kubernetes' clients speak it: they open streams, and there is no flow control within the session. So a
 * stream that is not read stops the reading of all, when its own queue is full; if it does so for long it is reset.
 */
export class SpdySession implements Disposable {
  readonly #options: SpdySessionOptions;
  readonly #frames = new FrameReader();
  readonly #headerReader = new HeaderReader();
  readonly #headerWriter = new HeaderWriter();
  readonly #streams = new Map<number, SpdyStream>();
  #lastStream = 0;
  #isGoingAway = false;

  constructor(options: SpdySessionOptions) {
    this.#options = options;
  }

  /** Takes bytes from the client in; resolves when more may come. Throws SpdyError when they are not to be understood: the session is over. */
  async receive(bytes: Buffer): Promise<void> {
    try {
      for (const frame of this.#frames.push(bytes)) await this.#take(frame);
    } catch (error) {
      if (error instanceof SpdyError) await this.#options.send(encodeGoAway(this.#lastStream, goAwayStatus.protocolError));
      throw error;
    }
  }

  /** The client is gone, or is to go. */
  [Symbol.dispose](): void {
    for (const stream of [...this.#streams.values()]) stream.breakOff("the session ended");
    this.#headerReader[Symbol.dispose]();
  }

  async #take(frame: Frame): Promise<void> {
    switch (frame.type) {
      case "synStream":
        return await this.#open(frame.stream, frame.block, frame.fin);
      case "synReply":
      case "headers":
        // Of no use here, but the next block cannot be read without this one.
        await this.#headerReader.read(frame.block);
        return;
      case "data":
        return await this.#receiveData(frame.stream, frame.data, frame.fin);
      case "rstStream":
        this.#streams.get(frame.stream)?.breakOff("the client reset the stream");
        return;
      case "ping":
        // Odd ones are the client's; an even one would be an answer, and nothing was asked.
        if (frame.id % 2 === 1) await this.#options.send(encodePing(frame.id));
        return;
      case "goAway":
        this.#isGoingAway = true;
        return;
      case "ignored":
        return;
    }
  }

  async #open(id: number, block: Buffer, fin: boolean): Promise<void> {
    const headers = await this.#headerReader.read(block);
    if (id % 2 === 0 || id <= this.#lastStream) throw new SpdyError(`a stream of number ${id} after ${this.#lastStream}`);
    this.#lastStream = id;
    if (this.#isGoingAway || this.#streams.size >= this.#options.maxStreams) return await this.#refuse(id, resetStatus.refusedStream);
    const stream = new SpdyStream(headers, {
      data: (data, last) => this.#options.send(encodeData(id, data, last)),
      // Who resets does not wait until it is sent.
      reset: () => void this.#refuse(id, resetStatus.internalError).catch(() => {}),
      over: () => this.#streams.delete(id),
    });
    this.#streams.set(id, stream);
    const start = this.#options.onStream(stream, id);
    if (start === undefined) {
      stream.breakOff("the stream was refused");
      return await this.#refuse(id, resetStatus.refusedStream);
    }
    // Clients drop what comes on a stream before its reply.
    const replied = this.#options.send(encodeSynReply(id, this.#headerWriter.write(new Map())));
    if (fin) stream.receive(Buffer.alloc(0), true);
    start();
    await replied;
  }

  async #refuse(id: number, status: ResetStatus): Promise<void> {
    await this.#options.send(encodeReset(id, status));
  }

  /** Data of a stream that is over comes late, and is dropped. */
  async #receiveData(id: number, data: Buffer, fin: boolean): Promise<void> {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.receive(data, fin);
    while (stream.isFull) {
      const before = stream.takenBytes;
      await stream.roomMade(this.#options.stallTimeoutMs);
      // A client with one connection, which is two streams, holds up nobody but itself.
      if (stream.isFull && stream.takenBytes === before && this.#streams.size > 2) stream.reset();
    }
  }
}
