import { TesseraError } from "@tessera/proto";

/** Where the next piece of a list starts. Opaque to clients. */
export interface ContinueToken {
  /** The revision that the whole list is true at. */
  readonly revision: number;
  /** The last object that was sent. */
  readonly namespace: string;
  readonly name: string;
}

export function formatContinueToken(token: ContinueToken): string {
  return Buffer.from(JSON.stringify({ v: 1, rv: token.revision, ns: token.namespace, name: token.name })).toString("base64url");
}

export function parseContinueToken(text: string): ContinueToken {
  try {
    const { v, rv, ns, name } = JSON.parse(Buffer.from(text, "base64url").toString()) as { [key: string]: unknown };
    if (v === 1 && typeof rv === "number" && Number.isSafeInteger(rv) && typeof ns === "string" && typeof name === "string") {
      return { revision: rv, namespace: ns, name };
    }
  } catch {
    // Answered below like any other text that is no token of ours.
  }
  throw new TesseraError("BadRequest", "continue key is not valid: it was not made by this server");
}
