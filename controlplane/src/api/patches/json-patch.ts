import { TesseraError } from "@tessera/proto";
import jsonpatch from "fast-json-patch";

/** Operations beyond this make no sensible patch, and each may copy the whole object. */
const maxOperations = 10_000;

/** RFC 6902. Throws TesseraError "BadRequest" for what is no patch, "Invalid" for one that does not fit the object. */
export function applyJsonPatch(current: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw new TesseraError("BadRequest", "a JSON patch is a list of operations");
  if (patch.length > maxOperations) {
    throw new TesseraError(
      "RequestEntityTooLarge",
      `The allowed maximum operations in a JSON patch is ${maxOperations}, got ${patch.length}`,
    );
  }
  const document = structuredClone(current);
  try {
    return jsonpatch.applyPatch(document, patch as jsonpatch.Operation[], true, true, true).newDocument;
  } catch (cause) {
    if (!(cause instanceof jsonpatch.JsonPatchError)) throw cause;
    const operation = cause.index === undefined ? "" : ` (operation ${cause.index}: ${JSON.stringify(cause.operation)})`;
    const text = `the server rejected our request due to an error in our request: JSON patch: ${cause.message.split("\n")[0]}${operation}`;
    throw new TesseraError("Invalid", text, { cause });
  }
}
