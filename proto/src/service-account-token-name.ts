/** A token that a pod's projected volume asks for, as agent and control plane name it to each other. */
export interface ServiceAccountTokenRequest {
  readonly podUid: string;
  /** Seconds. */
  readonly expirationSeconds: number;
  /** "" is the API server. */
  readonly audience: string;
}

const defaultExpirationSeconds = 3600;

/** The name of the token that a projection (`serviceAccountToken` of a projected volume) asks for. */
export function serviceAccountTokenName(
  podUid: string,
  projection: { readonly expirationSeconds?: number; readonly audience?: string },
): string {
  return `${podUid}/${projection.expirationSeconds ?? defaultExpirationSeconds}/${projection.audience ?? ""}`;
}

/** Undefined for what is no such name. */
export function parseServiceAccountTokenName(name: string): ServiceAccountTokenRequest | undefined {
  const match = /^([^/]+)\/(\d+)\/(.*)$/s.exec(name);
  return match === null ? undefined : { podUid: match[1] ?? "", expirationSeconds: Number(match[2]), audience: match[3] ?? "" };
}

/** A token on its way to an agent: the JSON of a ReferencedObject of the kind "ServiceAccountToken". */
export interface CarriedServiceAccountToken {
  readonly token: string;
  /** How long it is valid from now on: the node's clock need not agree with ours. */
  readonly lifetimeSeconds: number;
  /** Of the service account: a token of another one is worth nothing any more. */
  readonly accountUid: string;
}
