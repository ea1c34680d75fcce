import type { RegistryCredentials } from "./credentials.ts";

/** What the rest of the agent knows of images. */
export interface ImageStore {
  /** The image a name stands for, undefined when it is not on this node. Throws TesseraError "Invalid" when it is no image name. */
  resolve(name: string): Promise<LocalImage | undefined>;
  list(): Promise<LocalImage[]>;
  /**
   * Imports every image of an OCI layout or `docker save` archive, verifying each digest; returns the names they got. Loads all
   * or nothing. Throws TesseraError "Invalid" when the archive is not sound, "Conflict" never: a name moves to the newer image.
   */
  load(archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string[]>;
  /**
   * Whether a pod with these credentials may use the image that lies here under that name, as far as is known: it was loaded from a file, or
   * a registry has let in these credentials, or anybody. Asks nobody.
   */
  mayUse(name: string, credentials: readonly RegistryCredentials[]): Promise<boolean>;
  /** The image's layer folders, topmost first, as overlayfs wants them. Unpacks what is missing. */
  prepareRootfs(image: LocalImage): Promise<string[]>;
}

/** What the collection of garbage knows of images and does with them. */
export interface ImageRemoval {
  stored(): readonly StoredImage[];
  /**
   * Takes the image's names away, and everything that no other image needs, unless `isUsed` says at the last moment that it is to stay.
   * Returns whether it is gone.
   */
  remove(id: string, isUsed: (image: LocalImage) => boolean): Promise<boolean>;
  /** Removes content that no image needs: what a crash left, or a pull that failed. */
  sweep(): Promise<void>;
}

export interface StoredImage {
  readonly image: LocalImage;
  /** Milliseconds since the epoch at which it came, or a container was last made from it. */
  readonly usedAtMs: number;
  /** It came from a file, so no registry can be counted on to have it. */
  readonly isLoaded: boolean;
}

/** Fetches images from registries. */
export interface ImagePuller {
  /**
   * Asks the registry for the image and fetches what this node lacks of it, verified. Pulls of one image with the same credentials at the
   * same time are one pull; it ends when the signals of all who wait are aborted. Throws TesseraError: "NotFound" (no such image, or none
   * for this node), "Unauthorized" and "Forbidden" (pull access denied), "Invalid" (not what its digest says, hostile, too large),
   * "UnsupportedMediaType" (no container image), "ServiceUnavailable", "Timeout" and "TooManyRequests" (may pass), "InternalError" (the disk
   * is full).
   */
  pull(name: string, options: PullOptions): Promise<LocalImage>;
  /**
   * Asks the registry whether these credentials are good for the image that lies here under that name, and remembers it. An image that the
   * registry no longer has under its digest is pulled. Throws as `pull` does.
   */
  proveRights(name: string, options: PullOptions): Promise<LocalImage>;
}

export interface PullOptions {
  /** All that the pod has; those that are meant for the image are tried, the best match first. */
  readonly credentials?: readonly RegistryCredentials[];
  readonly signal: AbortSignal;
  readonly progress?: (progress: PullProgress) => void;
}

export interface PullProgress {
  /** Bytes that are there, as they are sent; it may fall when a transfer has to begin again. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly layersDone: number;
  readonly layers: number;
}

export interface LocalImage {
  /** Digest of the image's configuration, "sha256:...": what Kubernetes calls the image ID. */
  readonly id: string;
  /** Canonical names: "docker.io/library/busybox:latest". */
  readonly names: readonly string[];
  /** Names by digest, that of the index first where there is one: "docker.io/library/busybox@sha256:...". */
  readonly digests: readonly string[];
  /** Bytes of configuration and layers as they are stored. */
  readonly sizeBytes: number;
  /** Uncompressed layer digests, lowest first. */
  readonly layers: readonly string[];
  readonly config: ImageConfig;
}

/** How the image wants to be run; empty where it does not say. */
export interface ImageConfig {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** "NAME=value" each. */
  readonly env: readonly string[];
  readonly workingDir: string;
  /** "user", "uid", "user:group": resolved against the image's own /etc/passwd. */
  readonly user: string;
  readonly volumes: readonly string[];
  readonly exposedPorts: readonly string[];
  /** "SIGTERM" unless the image says otherwise. */
  readonly stopSignal?: string;
}
