import { type LookupAddress, promises } from "node:dns";
import { connect, type LookupFunction } from "node:net";

/** Opens a TCP connection and closes it again. Throws with the address when it does not open. */
export async function dial(host: string, port: number, signal: AbortSignal): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      const socket = connect({ host, port, signal, lookup: lookUpHost }, () => {
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

const RESOLVER_TIMEOUT_MS = 2_000;

/**
 * Finds the address of a host that a probe names. Asks the name servers itself: the C library would hold one of the process' few threads
 * for as long as they are silent, and file operations of all pods need those. Names in the node's hosts file are not found but localhost.
 */
export const lookUpHost: LookupFunction = (hostname, { all }, callback) => {
  void findAddresses(hostname).then((addresses) => {
    const [first] = addresses;
    const error: NodeJS.ErrnoException = Object.assign(new Error(`no address found for host "${hostname}"`), { code: "ENOTFOUND" });
    if (first === undefined) callback(error, []);
    else if (all) callback(null, addresses);
    else callback(null, first.address, first.family);
  });
};

async function findAddresses(hostname: string): Promise<LookupAddress[]> {
  if (hostname === "localhost") return [{ address: "127.0.0.1", family: 4 }];
  const resolver = new promises.Resolver({ timeout: RESOLVER_TIMEOUT_MS, tries: 1 });
  // A name without addresses of one kind may have some of the other.
  const [four, six] = await Promise.all([resolver.resolve4(hostname).catch(() => []), resolver.resolve6(hostname).catch(() => [])]);
  return [...four.map((address) => ({ address, family: 4 })), ...six.map((address) => ({ address, family: 6 }))];
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
