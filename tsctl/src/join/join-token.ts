import { createHash, randomInt, X509Certificate } from "node:crypto";
import type { Secret } from "@tessera/proto";

/** Where the Secrets of join tokens are; they are Kubernetes' bootstrap tokens. */
export const tokenNamespace = "kube-system";
export const tokenType = "bootstrap.kubernetes.io/token";

export const tokenSecretName = (id: string): string => `bootstrap-token-${id}`;

export interface NewToken {
  readonly id: string;
  readonly secret: string;
  readonly expiresAtMs: number | undefined;
  /** The only node that may join with it. */
  readonly nodeName: string | undefined;
  readonly isReusable: boolean;
  readonly description: string | undefined;
}

/** The two parts of a new token: 31 bits to be told by, 82 to be believed by. */
export function newTokenParts(): { id: string; secret: string } {
  const letters = "0123456789abcdefghijklmnopqrstuvwxyz";
  const text = (length: number) => Array.from({ length }, () => letters[randomInt(letters.length)]).join("");
  return { id: text(6), secret: text(16) };
}

export function tokenObject(token: NewToken): Secret {
  const stringData: Record<string, string> = {
    "token-id": token.id,
    "token-secret": token.secret,
    "usage-bootstrap-authentication": "true",
  };
  if (token.expiresAtMs !== undefined) stringData["expiration"] = `${new Date(token.expiresAtMs).toISOString().slice(0, 19)}Z`;
  if (token.nodeName !== undefined) stringData["node-name"] = token.nodeName;
  if (!token.isReusable) stringData["single-use"] = "true";
  if (token.description !== undefined) stringData["description"] = token.description;
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: tokenSecretName(token.id), namespace: tokenNamespace },
    type: tokenType,
    stringData,
  };
}

/** What is told of a token; its secret is not. */
export interface KnownToken {
  readonly id: string;
  readonly expiration: string | undefined;
  readonly nodeName: string | undefined;
  readonly isReusable: boolean;
  readonly usedBy: string | undefined;
  readonly description: string | undefined;
}

/** Undefined for a Secret that is no token's. */
export function readToken(secret: Secret): KnownToken | undefined {
  const value = (key: string): string | undefined => {
    const encoded = secret.data?.[key];
    return encoded === undefined ? undefined : Buffer.from(encoded, "base64").toString();
  };
  const id = value("token-id");
  if (secret.type !== tokenType || id === undefined) return undefined;
  return {
    id,
    expiration: value("expiration"),
    nodeName: value("node-name"),
    isReusable: value("single-use") !== "true",
    usedBy: value("used-by-node"),
    description: value("description"),
  };
}

/** What machines that join know the CA by: the digest of its public key, as kubeadm's discovery-token-ca-cert-hash has it. */
export function caHash(caPem: string): string {
  const spki = new X509Certificate(caPem).publicKey.export({ type: "spki", format: "der" });
  return `sha256:${createHash("sha256").update(spki).digest("hex")}`;
}
