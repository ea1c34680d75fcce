/*
 * Objects are stored without resourceVersion, since etcd knows it, and sent with it. It is put into the bytes without decoding them: stored
 * objects begin with apiVersion and kind, so that the first `"metadata":{` is the object's own.
 */

const metadata = Buffer.from('"metadata":{');
const field = Buffer.from('"resourceVersion":"');
const closingBrace = "}".charCodeAt(0);
const quote = '"'.charCodeAt(0);

/** How long the bytes will be held: what is "kept" has memory of its own, since a small piece of Node's pool would keep the whole of it. */
export type Holding = "kept" | "passing";

/** The stored bytes with metadata.resourceVersion in front of the other metadata; undefined for bytes that are no stored object. */
export function withResourceVersion(stored: Buffer, version: number, holding: Holding): Buffer | undefined {
  const found = stored.indexOf(metadata);
  if (found < 0) return undefined;
  const at = found + metadata.length;
  const isOnlyField = stored[at] === closingBrace;
  return splice(stored, at, at, `"resourceVersion":"${version}"${isOnlyField ? "" : ","}`, holding);
}

/** The same object at another version; `bytes` come from `withResourceVersion`. */
export function replaceResourceVersion(bytes: Buffer, version: number): Buffer {
  const start = bytes.indexOf(field) + field.length;
  const end = bytes.indexOf(quote, start);
  return splice(bytes, start, end, String(version), "kept");
}

/** A copy with `text` in the place of what is from `start` to `end`. */
function splice(bytes: Buffer, start: number, end: number, text: string, holding: Holding): Buffer {
  const length = bytes.length - (end - start) + text.length;
  const result = holding === "kept" ? Buffer.allocUnsafeSlow(length) : Buffer.allocUnsafe(length);
  bytes.copy(result, 0, 0, start);
  result.write(text, start, "latin1");
  bytes.copy(result, start + text.length, end);
  return result;
}
