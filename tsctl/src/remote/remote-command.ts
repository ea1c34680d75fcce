import { TesseraError } from "@tessera/proto";
import type { WebSocket } from "ws";
import { type StatusBody, statusError } from "../api/status-error.ts";

/** The subprotocols of exec and attach, the preferred one first. Each message begins with the number of its channel. */
export const remoteProtocols = ["v5.channel.k8s.io", "v4.channel.k8s.io"] as const;

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** How much of stdin may wait for the connection before it is read no further. */
const maxBuffered = 256 * 1024;
/** A connection without a sign of life for so long is lost. */
const pingEveryMs = 10_000;

export interface RemoteInput {
  /** Undefined: no stdin. */
  readonly stdin?: AsyncIterable<Uint8Array>;
  readonly stdout: (data: Uint8Array) => Promise<void>;
  readonly stderr: (data: Uint8Array) => Promise<void>;
  /** Sizes of the terminal: the present one first, then each change. */
  readonly sizes?: AsyncIterable<{ readonly columns: number; readonly rows: number }>;
}

/**
 * Runs the streams of an opened exec to their end and returns the command's exit code. Throws TesseraError: the server's own, or
 * "ServiceUnavailable" when the connection ended before the server said how the command ended. Never takes the one for the other.
 */
export async function runRemote(socket: WebSocket, input: RemoteInput): Promise<number> {
  const sending = new AbortController();
  let keepAlive: NodeJS.Timeout | undefined;
  try {
    // Their faults end the socket and so `status`; they have no result of their own. The size goes first: the command runs already.
    if (input.sizes !== undefined) void sendSizes(socket, input.sizes, sending.signal);
    keepAlive = watchConnection(socket);
    const status = receive(socket, input);
    if (input.stdin !== undefined) void sendStdin(socket, input.stdin, sending.signal);
    socket.resume();
    return exitCodeOf(await status);
  } finally {
    sending.abort();
    clearInterval(keepAlive);
    socket.close();
  }
}

/** Takes messages one after the other, each only when the one before was written; resolves with the Status that comes last. */
function receive(socket: WebSocket, input: RemoteInput): Promise<StatusBody> {
  return new Promise((resolve, reject) => {
    let status: StatusBody | undefined;
    let writing: Promise<unknown> = Promise.resolve();
    socket.on("message", (data: Buffer) => {
      const body = data.subarray(1);
      switch (data[0]) {
        case channel.stdout:
        case channel.stderr: {
          if (body.length === 0) return;
          const write = data[0] === channel.stdout ? input.stdout : input.stderr;
          socket.pause();
          writing = writing.then(() => write(body)).then(() => socket.resume(), reject);
          return;
        }
        case channel.error:
          if (body.length > 0) status = JSON.parse(body.toString("utf8"));
      }
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      void writing.then(() => {
        if (status !== undefined) resolve(status);
        else
          reject(
            new TesseraError(
              "ServiceUnavailable",
              "the connection was lost; whether the command still runs, and how it ends, is not known",
            ),
          );
      });
    });
  });
}

async function sendStdin(socket: WebSocket, stdin: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  try {
    for await (const chunk of stdin) {
      if (signal.aborted) return;
      await send(socket, channel.stdin, chunk);
    }
    // Only version 5 can say that no more will come; with version 4 a command that reads to the end waits for ever.
    if (socket.protocol === remoteProtocols[0]) await send(socket, channel.close, Buffer.of(channel.stdin));
  } catch {
    socket.terminate();
  }
}

async function sendSizes(socket: WebSocket, sizes: NonNullable<RemoteInput["sizes"]>, signal: AbortSignal): Promise<void> {
  try {
    for await (const { columns, rows } of sizes) {
      if (signal.aborted) return;
      await send(socket, channel.resize, Buffer.from(JSON.stringify({ Width: columns, Height: rows })));
    }
  } catch {
    // A terminal of the wrong size is no reason to end the command.
  }
}

async function send(socket: WebSocket, number: number, data: Uint8Array): Promise<void> {
  if (socket.readyState !== socket.OPEN) return;
  const message = Buffer.concat([Buffer.of(number), data]);
  const sent = new Promise<void>((resolve, reject) => socket.send(message, (error) => (error ? reject(error) : resolve())));
  if (socket.bufferedAmount > maxBuffered) await sent;
  else sent.catch(() => {});
}

/** Asks for a sign of life; a server that is silent twice is gone, and waiting for it would last for ever. */
function watchConnection(socket: WebSocket): NodeJS.Timeout {
  let silent = 0;
  const alive = () => {
    silent = 0;
  };
  socket.on("pong", alive);
  socket.on("message", alive);
  return setInterval(() => {
    // A slow reader of our output stops everything that comes, the answers to pings too.
    if (socket.isPaused) return;
    if (silent++ >= 2) socket.terminate();
    else if (socket.readyState === socket.OPEN) socket.ping();
  }, pingEveryMs);
}

function exitCodeOf(status: StatusBody): number {
  if (status.status === "Success") return 0;
  const exit = status.details?.causes?.find((cause) => cause.reason === "ExitCode");
  if (status.reason === "NonZeroExitCode" && exit !== undefined) return Number(exit.message);
  throw statusError(status);
}
