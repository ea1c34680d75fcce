import { type OnReadOpts, Socket } from "node:net";
import { connectShim } from "./shim-client.ts";

/** Larger than what a shim says at once. */
const received = Buffer.allocUnsafeSlow(64 * 1024);

/**
 * The connection on which a shim is asked and tells. All of them read into one buffer, and what came is handed on as a copy of its own size: a stream makes
 * a buffer of 64 KB for each read, and a shim says some hundred bytes in its life.
 */
export class ShimConnection {
  readonly socket: Socket;
  /** Takes what arrives from now on. */
  onData: (chunk: Buffer) => void = () => {};

  private constructor(connect: (onread: OnReadOpts) => Socket) {
    this.socket = connect({
      buffer: received,
      callback: (size) => {
        this.onData(Buffer.from(received.subarray(0, size)));
        return true;
      },
    });
    // Nothing comes by the stream but its end, which is seen only by who reads it. Then there is nobody to say farewell to.
    this.socket.resume().on("end", () => this.socket.destroy());
  }

  static ofDescriptor(fd: number): ShimConnection {
    return new ShimConnection((onread) => new Socket({ fd, onread, allowHalfOpen: true }));
  }

  /** As `connectShim`. */
  static async open(path: string, signal: AbortSignal): Promise<ShimConnection> {
    let opened: Promise<Socket> | undefined;
    const connection = new ShimConnection((onread) => {
      const socket = new Socket({ onread, allowHalfOpen: true });
      opened = connectShim(path, signal, socket);
      return socket;
    });
    await opened;
    return connection;
  }

  destroy(): void {
    this.socket.destroy();
  }
}
