/** What a peer sent is not SPDY/3.1, or is more than is allowed: the whole session ends. */
export class SpdyError extends Error {
  override readonly name = "SpdyError";
}
