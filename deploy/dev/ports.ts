import { readFile } from "node:fs/promises";
import type { Server } from "node:net";
import { tryLock } from "./lock.ts";

const lockName = (port: number): string => `port/${port}`;

/**
 * Holds TCP ports that a cluster is about to listen at, against clusters of other home folders, which know nothing of this one's. Whoever has found them free
 * must still be holding the machine's lock. What somebody else holds already is left to them: the cluster had its ports before, and will say if it cannot have them.
 */
export async function holdPorts(ports: readonly number[]): Promise<AsyncDisposable> {
  const held: Server[] = [];
  for (const port of ports) {
    const server = await tryLock(lockName(port));
    if (server !== undefined) held.push(server);
  }
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

/** Ports that somebody on this machine holds. */
export async function readHeldPorts(): Promise<number[]> {
  const sockets = await readFile("/proc/net/unix", "utf8");
  return [...sockets.matchAll(/ @tessera-dev\/port\/(\d+)\b/g)].map(([, port]) => Number(port));
}
