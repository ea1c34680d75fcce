import { isIP } from "node:net";
import type { TlsOptions } from "nats";
import type { TlsFiles } from "./embedded-etcd.ts";

/** The client's TLS options for a server; null: none. */
export function natsTls(url: string, files: TlsFiles | undefined): TlsOptions | null {
  if (files === undefined) return null;
  const { hostname } = new URL(url);
  // An address must not be sent as a server's name (RFC 6066), and is then the host that the certificate has to name.
  const server = isIP(hostname) === 0 ? {} : { servername: "", host: hostname };
  return { caFile: files.caFile, certFile: files.certFile, keyFile: files.keyFile, ...server };
}
