import { TesseraError } from "@tessera/proto";

/** Instead of a revision that the store has forgotten: whatever is there now. */
const newest = "newest";

/** Where the next piece of a list starts. Opaque to clients. */
export interface ContinueToken {
  /** The revision that the whole list is true at. */
  readonly revision: number | typeof newest;
  /** The last object that was sent. */
  readonly namespace: string;
  readonly name: string;
}

/** The list that was begun cannot be had to its end any more; the rest of what is there now can, as Kubernetes' clients know. */
export class ExpiredContinue extends TesseraError {
  /** For who takes the rest although it may not fit to what came before. */
  readonly continueToken: string;

  constructor(token: ContinueToken, cause: unknown) {
    super(
      "Expired",
      "The provided continue parameter is too old to display a consistent list result. Start a new list without it, or go on with the continue token of this answer, which shows the rest as it is now.",
      { cause },
    );
    this.continueToken = formatContinueToken({ ...token, revision: newest });
  }
}

export function formatContinueToken(token: ContinueToken): string {
  return Buffer.from(JSON.stringify({ v: 1, rv: token.revision, ns: token.namespace, name: token.name })).toString("base64url");
}

export function parseContinueToken(text: string): ContinueToken {
  try {
    const { v, rv, ns, name } = JSON.parse(Buffer.from(text, "base64url").toString()) as { [key: string]: unknown };
    const isRevision = rv === newest || (typeof rv === "number" && Number.isSafeInteger(rv));
    if (v === 1 && isRevision && typeof ns === "string" && typeof name === "string") return { revision: rv, namespace: ns, name };
  } catch {
    // Answered below like any other text that is no token of ours.
  }
  throw new TesseraError("BadRequest", "continue key is not valid: it was not made by this server");
}
