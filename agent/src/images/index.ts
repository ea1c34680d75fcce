export { credentialsFor, parsePullSecret, type RegistryCredentials } from "./credentials.ts";
export type { ImageConfig, ImagePuller, ImageStore, LocalImage, PullOptions, PullProgress } from "./image-store.ts";
export { LocalImageStore, type LocalImageStoreOptions } from "./local-image-store.ts";
export { formatReference, type ImageReference, parseReference } from "./reference.ts";
export type { RegistrySettings } from "./registry-http.ts";
