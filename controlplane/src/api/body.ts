import { TesseraError } from "@tessera/proto";
import type { ApiRequest } from "./http.ts";

/** The largest object that a request may bring. */
export const maxBodyBytes = 3 * 1024 * 1024;

/** Reads the whole body; throws TesseraError "RequestEntityTooLarge" as soon as it is too long. */
export async function readBody(request: ApiRequest, maxBytes = maxBodyBytes): Promise<Buffer> {
  const tooLarge = () => new TesseraError("RequestEntityTooLarge", `Request entity too large: limit is ${maxBytes} bytes`);
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) throw tooLarge();
  const { body } = request;
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const pieces: Buffer[] = [];
  let size = 0;
  // Listeners cost a fraction of what an iterator over the stream does.
  body.on("data", (piece: Buffer) => {
    size += piece.length;
    if (size <= maxBytes) pieces.push(piece);
    else reject(tooLarge());
  });
  body.on("end", () => resolve(pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces, size)));
  body.on("error", reject);
  // After the end this changes nothing.
  body.on("close", () => reject(new TesseraError("BadRequest", "the connection was closed before the whole body was there")));
  return await promise;
}

/** The media type without parameters; "" if the request has none. */
export function contentType(request: ApiRequest): string {
  return (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}
