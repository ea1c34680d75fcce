import { X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import type { Installation } from "./installation.ts";

/** What the control plane has made for itself, besides its authorities. */
const ownNames = ["server", "admin", "etcd", "etcd-client", "nats", "nats-client"];

/** All certificates of an installation that run out within months, by the file that they are in. */
export async function readCertificates({ controlPlane, nodes }: Installation): Promise<Map<string, X509Certificate>> {
  const certificates = new Map<string, X509Certificate>();
  const read = async (machine: Installation["controlPlane"], path: string) => {
    certificates.set(`${machine.options.name}:${path}`, new X509Certificate(await machine.runOk(["cat", path])));
  };
  for (const name of ownNames) await read(controlPlane, `/var/lib/tessera-controlplane/pki/${name}.crt`);
  for (const node of nodes) await read(node, "/etc/tessera/node/node.crt");
  return certificates;
}

/** Serial number of the certificate that a server shows to whoever comes now. */
export function shownSerial(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, servername: "kubernetes", rejectUnauthorized: false });
    socket.setTimeout(10_000, () => socket.destroy(new Error(`no answer of ${host}:${port}`)));
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      resolve(socket.getPeerX509Certificate()?.serialNumber ?? "");
      socket.destroy();
    });
  });
}
