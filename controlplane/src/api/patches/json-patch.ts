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
    // The document is ours and sound: whatever goes wrong lies in the patch.
    const error = cause instanceof Error ? cause : new Error(String(cause));
    const { index, operation } = error as Partial<jsonpatch.JsonPatchError>;
    const where = index === undefined ? "" : ` (operation ${index}: ${JSON.stringify(operation)})`;
    const text = `the server rejected our request due to an error in our request: JSON patch: ${error.message.split("\n")[0]}${where}`;
    throw new TesseraError("Invalid", text, { cause });
  }
}
