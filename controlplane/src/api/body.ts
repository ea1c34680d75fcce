import { TesseraError } from "@tessera/proto";
import type { ApiRequest } from "./http.ts";

/** The largest object that a request may bring. */
export const maxBodyBytes = 3 * 1024 * 1024;

/** Reads the whole body; throws TesseraError "RequestEntityTooLarge" as soon as it is too long. */
export async function readBody(request: ApiRequest, maxBytes = maxBodyBytes): Promise<Buffer> {
  const tooLarge = () => new TesseraError("RequestEntityTooLarge", `Request entity too large: limit is ${maxBytes} bytes`);
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) throw tooLarge();
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request.body) {
    size += piece.length;
    if (size > maxBytes) throw tooLarge();
    pieces.push(piece);
  }
  return Buffer.concat(pieces, size);
}

/** The media type without parameters; "" if the request has none. */
export function contentType(request: ApiRequest): string {
  return (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}
