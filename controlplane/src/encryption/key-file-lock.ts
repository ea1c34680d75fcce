import { stat } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname } from "node:path";

/**
 * Runs `change` while no other process of this machine changes the key file. The lock is a socket without a file, which the kernel takes back however this
 * process ends. Throws when the lock is taken.
 */
export async function withKeyFileLock<T>(path: string, change: () => Promise<T>): Promise<T> {
  const { dev, ino } = await stat(dirname(path));
  const lock = createServer();
  await new Promise<void>((resolve, reject) => {
    lock.once("error", (error: NodeJS.ErrnoException) => {
      reject(error.code === "EADDRINUSE" ? new Error(`${path} is being changed by another process, try again`) : error);
    });
    lock.listen(`\0tessera-key-file-${dev}-${ino}`, resolve);
  });
  try {
    return await change();
  } finally {
    await new Promise<void>((resolve) => lock.close(() => resolve()));
  }
}
