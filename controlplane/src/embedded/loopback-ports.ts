import { readFile, rename, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { TesseraError } from "@tessera/proto";

/**
 * Loopback ports that stay the same from start to start, kept in a JSON file: free ones at first, and again for a name whose port has been
 * taken by somebody else meanwhile.
 */
export async function keepPorts<Name extends string>(file: string, names: readonly Name[]): Promise<Record<Name, number>> {
  const kept = await readPorts(file);
  const held: Server[] = [];
  const ports = {} as Record<Name, number>;
  try {
    for (const name of names) {
      const server = (await hold(kept[name] ?? 0)) ?? (await hold(0));
      if (server === undefined) throw new TesseraError("ServiceUnavailable", "no free port on 127.0.0.1");
      held.push(server);
      ports[name] = (server.address() as { port: number }).port;
    }
  } finally {
    await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  }
  await writeFile(`${file}.new`, `${JSON.stringify(ports)}\n`);
  await rename(`${file}.new`, file);
  return ports;
}

async function readPorts(file: string): Promise<Record<string, number>> {
  try {
    const parsed: unknown = JSON.parse(await readFile(file, "utf8"));
    const entries = Object.entries(typeof parsed === "object" && parsed !== null ? parsed : {});
    return Object.fromEntries(entries.filter(([, port]) => Number.isInteger(port) && port > 0 && port < 65_536));
  } catch {
    // Absent at the first start, or torn: new ports do as well.
    return {};
  }
}

/** undefined when the port is taken. */
function hold(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
