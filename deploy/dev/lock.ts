import { createServer, type Server } from "node:net";
import { TesseraError } from "@tessera/proto";
import { waitFor } from "./wait.ts";

/**
 * Runs `work` while nobody else on this machine holds the lock of that name. The lock is an abstract socket: the kernel gives it to
 * one, and takes it back when the holder dies, however it dies.
 */
export async function withLock<T>(
  name: string,
  options: { readonly waitMs: number; readonly busy: string; readonly signal?: AbortSignal },
  work: () => Promise<T>,
): Promise<T> {
  const server = await waitFor(() => tryLock(name), { deadlineMs: options.waitMs, everyMs: 50, signal: options.signal });
  if (server === undefined) throw new TesseraError("Conflict", options.busy);
  try {
    return await work();
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

/** The lock, to be closed, or undefined when somebody has it. */
export async function tryLock(name: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  return await new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => (error.code === "EADDRINUSE" ? resolve(undefined) : reject(error)));
    server.listen(`\0tessera-dev/${name}`, () => resolve(server));
  });
}
