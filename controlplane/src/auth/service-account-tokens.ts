import { randomUUID } from "node:crypto";
import type { Node, ObjectMeta, Pod, Secret, ServiceAccount } from "@tessera/proto";
import type { ResourceCache } from "../store/cache.ts";
import { type Claims, type SigningKey, signJwt, toJwks, verifyJwt } from "./jwt.ts";
import type { UserInfo } from "./tokens.ts";

/** Who signs the tokens, as other clusters' services know it. */
export const defaultIssuer = "https://kubernetes.default.svc.cluster.local";
export const serviceAccountsGroup = "system:serviceaccounts";
const userPrefix = "system:serviceaccount:";
/** Kubernetes' name for what it keeps of a token in a user's extra. */
const extraPrefix = "authentication.kubernetes.io/";
/** A pod that was told to go may finish with its token. */
const deletedPodLeewayMs = 60_000;

/** An object with whose end a token ends too. */
export interface BoundObject {
  readonly kind: "Pod" | "Secret" | "Node";
  readonly name: string;
  readonly uid: string;
}

export interface TokenOptions {
  /** Empty: the API server. */
  readonly audiences?: readonly string[];
  readonly expirationSeconds: number;
  readonly bound?: BoundObject;
  /** The node of a bound pod. */
  readonly nodeName?: string;
}

export interface IssuedToken {
  readonly token: string;
  readonly audiences: readonly string[];
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
}

export interface ServiceAccountTokensDependencies {
  readonly key: SigningKey;
  readonly issuer?: string;
  /** What tokens depend on. */
  readonly caches: {
    readonly serviceAccounts: ResourceCache<ServiceAccount>;
    readonly pods: ResourceCache<Pod>;
    readonly secrets: ResourceCache<Secret>;
    readonly nodes: ResourceCache<Node>;
  };
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Makes and checks the tokens of service accounts: JSON Web Tokens with Kubernetes' claims. */
export class ServiceAccountTokens {
  readonly issuer: string;
  readonly #key: SigningKey;
  readonly #caches: ServiceAccountTokensDependencies["caches"];
  readonly #now: () => number;

  constructor({ key, issuer = defaultIssuer, caches, now }: ServiceAccountTokensDependencies) {
    this.issuer = issuer;
    this.#key = key;
    this.#caches = caches;
    this.#now = now;
  }

  /** The audience of tokens that are for the API server. */
  get audience(): string {
    return this.issuer;
  }

  /** The public key, for those who check tokens by themselves. */
  get jwks(): object {
    return toJwks(this.#key);
  }

  issue(account: { readonly metadata?: ObjectMeta }, options: TokenOptions): IssuedToken {
    const { namespace = "", name = "", uid = "" } = account.metadata ?? {};
    const { bound, expirationSeconds, nodeName } = options;
    const audiences = options.audiences?.length ? options.audiences : [this.audience];
    const nowSeconds = Math.floor(this.#now() / 1000);
    const expirySeconds = nowSeconds + expirationSeconds;
    const node = bound?.kind === "Pod" && nodeName ? this.#caches.nodes.get("", nodeName) : undefined;
    const claims = {
      aud: audiences,
      exp: expirySeconds,
      iat: nowSeconds,
      iss: this.issuer,
      jti: randomUUID(),
      "kubernetes.io": {
        namespace,
        ...(node === undefined ? {} : { node: { name: node.name, uid: node.uid } }),
        ...(bound === undefined ? {} : { [bound.kind.toLowerCase()]: { name: bound.name, uid: bound.uid } }),
        serviceaccount: { name, uid },
      },
      nbf: nowSeconds,
      sub: `${userPrefix}${namespace}:${name}`,
    };
    return { token: signJwt(claims, this.#key), audiences, expiresAtMs: expirySeconds * 1000 };
  }

  /**
   * Whom the token belongs to, and for which of the wanted audiences it is. Undefined when it is not ours, not for any of them, out of its time, or when its
   * account, or what it is bound to, is gone.
   */
  check(token: string, wanted: readonly string[] = [this.audience]): { user: UserInfo; audiences: readonly string[] } | undefined {
    const claims = verifyJwt(token, this.#key);
    if (claims === undefined || claims["iss"] !== this.issuer || !this.#isInTime(claims)) return undefined;
    const audiences = wanted.filter((audience) => toList(claims["aud"]).includes(audience));
    const subject = readSubject(claims);
    if (audiences.length === 0 || subject === undefined || !this.#isAlive(subject)) return undefined;
    return { user: toUser(subject, claims), audiences };
  }

  #isInTime(claims: Claims): boolean {
    const nowSeconds = this.#now() / 1000;
    const { exp, nbf } = claims;
    return typeof exp === "number" && nowSeconds < exp && (nbf === undefined || (typeof nbf === "number" && nbf <= nowSeconds + 1));
  }

  #isAlive({ namespace, account, pod, secret, node }: Subject): boolean {
    const { serviceAccounts, pods, secrets, nodes } = this.#caches;
    const isThere = (cache: ResourceCache<{ metadata?: ObjectMeta }>, where: string, what: Named | undefined, leewayMs = 0): boolean => {
      if (what === undefined) return true;
      const found = cache.get(where, what.name);
      const deletedAt = found?.value.metadata?.deletionTimestamp;
      return found?.uid === what.uid && (deletedAt === undefined || this.#now() < Date.parse(deletedAt) + leewayMs);
    };
    return (
      isThere(serviceAccounts, namespace, account) &&
      isThere(pods, namespace, pod, deletedPodLeewayMs) &&
      isThere(secrets, namespace, secret) &&
      // Of a pod's node it is only told; the pod itself goes with it.
      (pod !== undefined || isThere(nodes, "", node))
    );
  }
}

interface Named {
  readonly name: string;
  readonly uid: string;
}

interface Subject {
  readonly namespace: string;
  readonly account: Named;
  readonly pod: Named | undefined;
  readonly secret: Named | undefined;
  readonly node: Named | undefined;
}

function readSubject(claims: Claims): Subject | undefined {
  const own = (claims["kubernetes.io"] ?? {}) as { readonly [claim: string]: unknown };
  const namespace = own["namespace"];
  const account = toNamed(own["serviceaccount"]);
  if (typeof namespace !== "string" || account === undefined) return undefined;
  return { namespace, account, pod: toNamed(own["pod"]), secret: toNamed(own["secret"]), node: toNamed(own["node"]) };
}

function toNamed(value: unknown): Named | undefined {
  const { name, uid } = (value ?? {}) as { name?: unknown; uid?: unknown };
  return typeof name === "string" && typeof uid === "string" ? { name, uid } : undefined;
}

function toList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}

function toUser({ namespace, account, pod, node }: Subject, claims: Claims): UserInfo {
  const extra: Record<string, string[]> = {};
  const add = (key: string, value: unknown): void => {
    if (typeof value === "string") extra[`${extraPrefix}${key}`] = [value];
  };
  add("credential-id", `JTI=${String(claims["jti"])}`);
  add("pod-name", pod?.name);
  add("pod-uid", pod?.uid);
  add("node-name", node?.name);
  add("node-uid", node?.uid);
  return {
    name: `${userPrefix}${namespace}:${account.name}`,
    uid: account.uid,
    groups: [serviceAccountsGroup, `${serviceAccountsGroup}:${namespace}`],
    extra,
  };
}
