import { AsyncLocalStorage } from "node:async_hooks";
import { createServer, type Server } from "node:net";
import { TesseraError } from "@tessera/proto";
import { waitFor } from "./wait.ts";

const locksOf = new AsyncLocalStorage<readonly Server[]>();

/** Descriptors of the locks under which the caller works, for the programs that it starts. */
export function heldLocks(): readonly number[] {
  return (locksOf.getStore() ?? []).map(descriptorOf);
}

/** Node.js has no public name for it. */
function descriptorOf(server: Server): number {
  const { _handle: handle } = server as Server & { readonly _handle?: { readonly fd?: number } };
  if (handle?.fd === undefined) throw new TesseraError("InternalError", "this Node.js does not tell a server's descriptor");
  return handle.fd;
}

/**
 * Runs `work` while nobody else on this machine holds the lock of that name. The lock is an abstract socket: the kernel gives it to
 * one, and takes it back when the holder dies, however it dies, and the programs have ended that it had started and that hold the lock as well.
 */
export async function withLock<T>(
  name: string,
  options: { readonly waitMs: number; readonly busy: string; readonly signal?: AbortSignal },
  work: () => Promise<T>,
): Promise<T> {
  const server = await waitFor(() => tryLock(name), { deadlineMs: options.waitMs, everyMs: 50, signal: options.signal });
  if (server === undefined) throw new TesseraError("Conflict", options.busy);
  try {
    return await locksOf.run([...(locksOf.getStore() ?? []), server], work);
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
