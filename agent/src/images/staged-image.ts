import type { StagedContent } from "./content-store.ts";

/** An image whose every part is verified, and is in the store or lies in a staging folder. */
export interface StagedImage {
  readonly manifestDigest: string;
  /** Canonical names that are to stand for it: "docker.io/library/busybox:latest". */
  readonly names: readonly string[];
  /** Names by digest, that of the index first where there is one: "docker.io/library/busybox@sha256:...". */
  readonly digests: readonly string[];
  readonly content: StagedContent;
}
