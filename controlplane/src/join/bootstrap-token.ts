import { createHash, timingSafeEqual } from "node:crypto";
import type { Secret } from "@tessera/proto";

/**
 * Join tokens are Kubernetes' bootstrap tokens: Secrets of this type in this namespace, named "bootstrap-token-" and the token's id, so that kubectl sees
 * them and kubeadm's habits hold. A token reads ID.SECRET.
 */
export const bootstrapTokenType = "bootstrap.kubernetes.io/token";
export const bootstrapTokenNamespace = "kube-system";

/** Keys of the Secret's data: the first group is Kubernetes' own, the second ours. */
const keys = {
  id: "token-id",
  secret: "token-secret",
  expiration: "expiration",
  authentication: "usage-bootstrap-authentication",
  nodeName: "node-name",
  singleUse: "single-use",
  usedByNode: "used-by-node",
  usedByKey: "used-by-key",
} as const;

/** What the Secret of a token says. */
export interface BootstrapToken {
  readonly id: string;
  readonly secret: string;
  /** Milliseconds since 1970; undefined: never. NaN: what is there is no time. */
  readonly expiresAtMs: number | undefined;
  readonly allowsAuthentication: boolean;
  /** The only node that may join with it. */
  readonly nodeName: string | undefined;
  readonly isSingleUse: boolean;
  readonly usedBy: TokenUse | undefined;
}

/** Which node has joined, and by which key (the digest of its public half) it can be known again. */
export interface TokenUse {
  readonly nodeName: string;
  readonly keyDigest: string;
}

/** The two parts of ID.SECRET; undefined if the text is no token. */
export function parseToken(text: string): { readonly id: string; readonly secret: string } | undefined {
  const match = /^([a-z0-9]{6})\.([a-z0-9]{16})$/.exec(text);
  return match === null ? undefined : { id: match[1] ?? "", secret: match[2] ?? "" };
}

export function tokenSecretName(id: string): string {
  return `bootstrap-token-${id}`;
}

/** Reads a Secret; undefined unless it is a token's. */
export function readBootstrapToken(secret: Secret): BootstrapToken | undefined {
  if (secret.type !== bootstrapTokenType || secret.metadata?.deletionTimestamp !== undefined) return undefined;
  const value = (key: string): string | undefined => {
    const encoded = secret.data?.[key];
    return encoded === undefined ? undefined : Buffer.from(encoded, "base64").toString();
  };
  const [id, tokenSecret, expiration] = [value(keys.id), value(keys.secret), value(keys.expiration)];
  if (!id || !tokenSecret || secret.metadata?.name !== tokenSecretName(id)) return undefined;
  const [usedNode, usedKey] = [value(keys.usedByNode), value(keys.usedByKey)];
  return {
    id,
    secret: tokenSecret,
    expiresAtMs: expiration === undefined ? undefined : Date.parse(expiration),
    allowsAuthentication: value(keys.authentication) === "true",
    nodeName: value(keys.nodeName),
    isSingleUse: value(keys.singleUse) === "true",
    usedBy: usedNode === undefined ? undefined : { nodeName: usedNode, keyDigest: usedKey ?? "" },
  };
}

/** The Secret of a token that was used. */
export function withUse(secret: Secret, use: TokenUse): Secret {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  return { ...secret, data: { ...secret.data, [keys.usedByNode]: base64(use.nodeName), [keys.usedByKey]: base64(use.keyDigest) } };
}

/** False once the token has expired, or says a time that is none. */
export function isInTime(token: BootstrapToken, nowMs: number): boolean {
  return token.expiresAtMs === undefined || nowMs < token.expiresAtMs;
}

/** Takes as long for a wrong secret as for the right one, and as long without a token. */
export function hasSecret(token: BootstrapToken | undefined, secret: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(token?.secret ?? ""), digest(secret)) && token !== undefined;
}
