/*
 * Objects are stored without resourceVersion, since etcd knows it, and sent with it. It is put into the bytes without decoding them: stored
 * objects begin with apiVersion and kind, so that the first `"metadata":{` is the object's own.
 */

const metadata = Buffer.from('"metadata":{');
const field = Buffer.from('"resourceVersion":"');
const closingBrace = "}".charCodeAt(0);
const quote = '"'.charCodeAt(0);

/** The stored bytes with metadata.resourceVersion in front of the other metadata; undefined for bytes that are no stored object. */
export function withResourceVersion(stored: Buffer, version: number): Buffer | undefined {
  const found = stored.indexOf(metadata);
  if (found < 0) return undefined;
  const at = found + metadata.length;
  const isOnlyField = stored[at] === closingBrace;
  return insert(stored.subarray(0, at), `"resourceVersion":"${version}"${isOnlyField ? "" : ","}`, stored.subarray(at));
}

/** The same object at another version; `bytes` come from `withResourceVersion`. */
export function replaceResourceVersion(bytes: Buffer, version: number): Buffer {
  const start = bytes.indexOf(field) + field.length;
  const end = bytes.indexOf(quote, start);
  return insert(bytes.subarray(0, start), String(version), bytes.subarray(end));
}

function insert(before: Buffer, text: string, after: Buffer): Buffer {
  // Not from Node's pool: a small long-lived piece of a pooled buffer would keep the whole of it.
  const bytes = Buffer.allocUnsafeSlow(before.length + text.length + after.length);
  before.copy(bytes, 0);
  bytes.write(text, before.length, "latin1");
  after.copy(bytes, before.length + text.length);
  return bytes;
}
