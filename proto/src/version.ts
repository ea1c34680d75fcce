/** Replaced when a release is bundled; sources and development builds have none. */
declare const TESSERA_VERSION: string | undefined;

/** What this build of Tessera calls itself: a semantic version. */
export const VERSION: string = typeof TESSERA_VERSION === "undefined" ? "0.1.0" : TESSERA_VERSION;
