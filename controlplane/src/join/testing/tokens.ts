import "reflect-metadata";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import type { Secret } from "@tessera/proto";

/** The Secret of the token ID.SECRET, as tsctl or kubeadm would make it; `more` adds to its data. */
export function tokenSecret(token: string, more: Readonly<Record<string, string>> = {}): Secret {
  const [id = "", secret = ""] = token.split(".");
  const data = { "token-id": id, "token-secret": secret, "usage-bootstrap-authentication": "true", ...more };
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: `bootstrap-token-${id}`, namespace: "kube-system" },
    type: "bootstrap.kubernetes.io/token",
    data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString("base64")])),
  };
}

export type SigningKeys = Awaited<ReturnType<typeof newSigningKeys>>;

export async function newSigningKeys(namedCurve = "P-256") {
  return await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve }, true, ["sign", "verify"]);
}

/** A certificate signing request, PEM. */
export async function signingRequest(keys: SigningKeys, signedBy: SigningKeys = keys): Promise<string> {
  const options = { name: "CN=whatever", signingAlgorithm: { name: "ECDSA", hash: "SHA-256" } };
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    ...options,
    keys: { publicKey: keys.publicKey, privateKey: signedBy.privateKey },
  });
  return request.toString("pem");
}
