export { credentialsFor, parsePullSecret, type RegistryCredentials } from "./credentials.ts";
export type {
  ImageConfig,
  ImagePuller,
  ImageRemoval,
  ImageStore,
  LocalImage,
  PullOptions,
  PullProgress,
  StoredImage,
} from "./image-store.ts";
export { LocalImageStore, type LocalImageStoreOptions } from "./local-image-store.ts";
export { formatReference, type ImageReference, parseReference } from "./reference.ts";
export type { RegistrySettings } from "./registry-http.ts";
