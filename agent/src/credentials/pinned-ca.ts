import { createHash, type X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import { TesseraError } from "@tessera/proto";

const timeoutMs = 10_000;
/** The name that every control plane's certificate has, whatever address it is dialled by. */
export const controlPlaneName = "kubernetes";

/** Digest of a CA's public key (its SubjectPublicKeyInfo in DER, as kubeadm's discovery-token-ca-cert-hash has it): "sha256:" and hex. */
export function publicKeyDigest(certificate: X509Certificate): string {
  return `sha256:${createHash("sha256")
    .update(certificate.publicKey.export({ type: "spki", format: "der" }))
    .digest("hex")}`;
}

/**
 * The CA (PEM) whose public key has the given digest, out of what the server shows. Nothing is sent, and the server is not trusted yet: the caller
 * dials again with this CA. Throws TesseraError "ServiceUnavailable" if it cannot be reached, "Forbidden" if it does not show that CA.
 */
export async function fetchPinnedCa(host: string, port: number, digest: string): Promise<string> {
  const shown = await shownCertificates(host, port);
  const ca = shown.find((certificate) => certificate.ca && publicKeyDigest(certificate) === digest);
  if (ca !== undefined) return `${ca.toString()}`;
  const found = shown.filter(({ ca: isCa }) => isCa).map(publicKeyDigest);
  const what = found.length === 0 ? "shows no CA" : `shows the CA ${found.join(", ")}`;
  throw new TesseraError(
    "Forbidden",
    `${host}:${port} ${what}, not ${digest}: it is another cluster, or somebody in between; "tsctl join-token create" tells address and CA that belong together`,
  );
}

function shownCertificates(host: string, port: number): Promise<X509Certificate[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, servername: controlPlaneName, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
    const fail = (why: string, cause?: unknown) => {
      socket.destroy();
      reject(new TesseraError("ServiceUnavailable", `cannot reach the control plane at ${host}:${port}: ${why}`, { cause }));
    };
    socket.setTimeout(timeoutMs, () => fail(`no answer within ${timeoutMs / 1000} s`));
    socket.once("error", (error: NodeJS.ErrnoException) => {
      // Such as the port for agents, which knows HTTP/2 only, or a server that has no TLS at all.
      const isOther = error.code?.startsWith("ERR_SSL_") ?? false;
      fail(isOther ? `what listens there is not the API, whose port usually is 6443 (${error.code})` : error.message, error);
    });
    socket.once("secureConnect", () => {
      const shown: X509Certificate[] = [];
      for (let each = socket.getPeerX509Certificate(); each !== undefined; each = each.issuerCertificate) {
        // One that issued itself ends the chain.
        if (shown.some(({ fingerprint256 }) => fingerprint256 === each?.fingerprint256)) break;
        shown.push(each);
      }
      socket.end();
      resolve(shown);
    });
  });
}
