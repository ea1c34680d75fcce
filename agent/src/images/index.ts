export type { ImageConfig, ImageStore, LocalImage } from "./image-store.ts";
export { LocalImageStore, type LocalImageStoreOptions } from "./local-image-store.ts";
export { formatReference, type ImageReference, parseReference } from "./reference.ts";
