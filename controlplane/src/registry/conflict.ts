import { TesseraError } from "@tessera/proto";
import type { CachedObject } from "../store/cache.ts";
import { qualifiedResource, type ResourceDefinition } from "./definition.ts";

/** What of a kind an error names. */
type NamedKind = Pick<ResourceDefinition<never>, "group" | "plural">;

/** The error of a write that is about another state of the object than the newest. */
export function writeConflict(definition: NamedKind, name: string, why: string, cause?: unknown): TesseraError {
  const message = `Operation cannot be fulfilled on ${qualifiedResource(definition)} ${JSON.stringify(name)}: ${why}`;
  return new TesseraError("Conflict", message, { cause, details: { name, group: definition.group, kind: definition.plural } });
}

/** Throws TesseraError "Conflict" when the caller means another object of the name, or another state of it. */
export function checkPreconditions(
  definition: NamedKind,
  current: CachedObject<unknown>,
  wanted: { readonly uid?: string; readonly resourceVersion?: string },
): void {
  if (wanted.uid && wanted.uid !== current.uid) {
    const why = `Precondition failed: UID in precondition: ${wanted.uid}, UID in object meta: ${current.uid}`;
    throw writeConflict(definition, current.name, why);
  }
  if (wanted.resourceVersion && wanted.resourceVersion !== String(current.revision)) {
    throw writeConflict(
      definition,
      current.name,
      "the object has been modified; please apply your changes to the latest version and try again",
    );
  }
}
