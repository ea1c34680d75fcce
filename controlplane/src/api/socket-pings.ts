import type { WebSocket } from "ws";

const pingIntervalMs = 30_000;

/** Drops a client that answers no ping: it is gone, even if its host has not said so. */
export function keepAlive(socket: WebSocket): void {
  let isAlive = true;
  socket.on("pong", () => {
    isAlive = true;
  });
  const pings = setInterval(() => {
    // What the client says is not read while what it sent waits to be taken: its answer cannot be seen then.
    if (!isAlive && !socket.isPaused) return socket.terminate();
    isAlive = socket.isPaused;
    socket.ping();
  }, pingIntervalMs);
  socket.once("close", () => clearInterval(pings));
}
