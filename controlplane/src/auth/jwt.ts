import { createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";

/** A key with which tokens are signed (ES256: ECDSA on P-256 with SHA-256, RFC 7518 section 3.4), and its name. */
export interface SigningKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** "kid": the SHA-256 digest of the SubjectPublicKeyInfo. */
  readonly id: string;
}

export type Claims = Readonly<Record<string, unknown>>;

export function toSigningKey(privateKey: KeyObject): SigningKey {
  const publicKey = createPublicKey(privateKey);
  const spki = publicKey.export({ type: "spki", format: "der" });
  return { privateKey, publicKey, id: createHash("sha256").update(spki).digest("base64url") };
}

/** A JSON Web Token in its compact form (RFC 7519). */
export function signJwt(claims: Claims, key: SigningKey): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const input = `${encode({ alg: "ES256", kid: key.id })}.${encode(claims)}`;
  return `${input}.${sign("sha256", Buffer.from(input), { key: key.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

/**
 * The claims of a token that this very key signed; undefined for everything else. Which algorithm is used is up to us and not to the token's header, which is
 * compared and otherwise not believed (RFC 8725 section 3.1). Says nothing about times and audiences.
 */
export function verifyJwt(token: string, key: SigningKey): Claims | undefined {
  const [header = "", payload = "", signature = "", ...rest] = token.split(".");
  if (rest.length > 0) return undefined;
  const head = parse(header);
  if (head?.["alg"] !== "ES256" || head["kid"] !== key.id || head["crit"] !== undefined) return undefined;
  const bytes = Buffer.from(signature, "base64url");
  const isRight = verify("sha256", Buffer.from(`${header}.${payload}`), { key: key.publicKey, dsaEncoding: "ieee-p1363" }, bytes);
  return isRight ? parse(payload) : undefined;
}

/** The set of public keys (RFC 7517) with which others can check tokens. */
export function toJwks(key: SigningKey): object {
  return { keys: [{ use: "sig", ...key.publicKey.export({ format: "jwk" }), kid: key.id, alg: "ES256" }] };
}

function parse(part: string): Claims | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString());
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Claims) : undefined;
  } catch {
    // Not a token of ours.
    return undefined;
  }
}
