/**
 * Who may use an image that lies on the node. Private images would else be free to every pod once one with the right secret has pulled
 * them. Kubernetes' rule since 1.33 (KEP-2535): a registry must have let in the pod's own credentials, or anybody, under that name.
 */
import { createHmac } from "node:crypto";
import type { RegistryCredentials } from "./credentials.ts";

/** What is remembered of one image, by repository ("registry.example/team/app"). */
export interface ImageRights {
  /** It came from a file of the cluster's administrator. */
  readonly loaded?: boolean;
  readonly repositories: Readonly<Record<string, RepositoryRights>>;
}

interface RepositoryRights {
  /** The registry did not ask who we are. */
  readonly anonymous?: boolean;
  /** Fingerprints of credentials that were let in, the newest last. */
  readonly credentials: readonly string[];
}

/** By what an image came to the node, or who was let in to it since. */
export type ImageProof =
  | { readonly by: "file" }
  /** Without fingerprint: as nobody in particular. */
  | { readonly by: "registry"; readonly repository: string; readonly fingerprint: string | undefined };

/** Secrets change over the years, and each one that was good once leaves a line. */
const MOST_REMEMBERED = 100;

export function withProof(rights: ImageRights | undefined, proof: ImageProof): ImageRights {
  const { loaded = false, repositories = {} } = rights ?? {};
  if (proof.by === "file") return { loaded: true, repositories };
  const { anonymous = false, credentials = [] } = repositories[proof.repository] ?? {};
  const { fingerprint } = proof;
  const known = fingerprint === undefined ? credentials : [...credentials.filter((one) => one !== fingerprint), fingerprint];
  const repository = { anonymous: anonymous || fingerprint === undefined, credentials: known.slice(-MOST_REMEMBERED) };
  return { loaded, repositories: { ...repositories, [proof.repository]: repository } };
}

/**
 * Whether an image that is named by `repository` (undefined: by its id alone) may be used with these credentials. Images of which nothing is
 * known were there before anything was remembered, and stay free to all.
 */
export function mayUse(rights: ImageRights | undefined, repository: string | undefined, fingerprints: readonly string[]): boolean {
  if (rights === undefined || rights.loaded) return true;
  const named = repository === undefined ? Object.values(rights.repositories) : [rights.repositories[repository]];
  return named.some((one) => one?.anonymous || one?.credentials.some((known) => fingerprints.includes(known)));
}

/** Tells credentials apart without showing them, and not the same on any two nodes. */
export function fingerprintOf({ username, password, identityToken = "" }: RegistryCredentials, salt: string): string {
  return createHmac("sha256", salt)
    .update(JSON.stringify([username, password, identityToken]))
    .digest("hex");
}
