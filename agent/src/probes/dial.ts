import { connect } from "node:net";

/** Opens a TCP connection and closes it again. Throws with the address when it does not open. */
export async function dial(host: string, port: number, signal: AbortSignal): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      const socket = connect({ host, port, signal }, () => {
        resolve();
        socket.destroy();
      });
      socket.once("error", reject);
    });
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw new Error(explainDial(error, `${host.includes(":") ? `[${host}]` : host}:${port}`), { cause: error });
  }
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by peer",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ETIMEDOUT: "connection timed out",
};

/** A failed connection in the words that people look for. */
export function explainDial(error: unknown, address: string): string {
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  const words = WORDS[code ?? ""];
  if (words === undefined) return message;
  return syscall === "connect" ? `dial tcp ${address}: connect: ${words}` : `read tcp ${address}: ${words}`;
}
