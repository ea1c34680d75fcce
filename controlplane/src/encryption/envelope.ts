import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from "node:crypto";
import { TesseraError } from "@tessera/proto";

/*
 * A sealed value:
 *
 *   sealed:v1:KEYID:   nonce (12 bytes)   ciphertext   tag (16 bytes)
 *
 * AES-256-GCM. The header and the etcd key are authenticated too, so that a value is good for no other key and under no other name of an encryption key.
 * Nonces are random: one encryption key is good for 2^32 writes, more than any cluster makes between two rotations.
 */

/** A key of AES-256 and the name by which values refer to it. */
export interface EncryptionKey {
  readonly id: string;
  readonly secret: KeyObject;
}

/** A sealed value, taken apart. */
export interface Envelope {
  readonly keyId: string;
  readonly header: Buffer;
  readonly nonce: Buffer;
  readonly ciphertext: Buffer;
  readonly tag: Buffer;
}

const algorithm = "aes-256-gcm";
const marker = Buffer.from("sealed:");
const versionOne = "sealed:v1:";
const nonceBytes = 12;
const tagBytes = 16;
const maxIdLength = 64;

/** Whether the text can be the id of an encryption key. */
export function isKeyId(text: string): boolean {
  return text.length <= maxIdLength && /^[a-z0-9][-a-z0-9]*$/.test(text);
}

export function sealValue(encryptionKey: EncryptionKey, etcdKey: string, value: Buffer): Buffer {
  const header = Buffer.from(`${versionOne}${encryptionKey.id}:`);
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv(algorithm, encryptionKey.secret, nonce, { authTagLength: tagBytes });
  cipher.setAAD(authenticated(header, etcdKey));
  const ciphertext = Buffer.concat([cipher.update(value), cipher.final()]);
  return Buffer.concat([header, nonce, ciphertext, cipher.getAuthTag()]);
}

/** The parts of a sealed value; undefined for a plain one (JSON begins with a brace). Throws TesseraError "InternalError" for a broken one. */
export function parseEnvelope(etcdKey: string, stored: Buffer): Envelope | undefined {
  if (stored.compare(marker, 0, marker.length, 0, Math.min(marker.length, stored.length)) !== 0) return undefined;
  const start = stored.subarray(0, versionOne.length + maxIdLength + 1).toString("latin1");
  if (!start.startsWith(versionOne)) throw unreadable(etcdKey, "it is sealed in a form that this version does not know");
  const keyId = start.slice(versionOne.length).split(":", 1)[0] ?? "";
  const headerLength = versionOne.length + keyId.length + 1;
  if (!isKeyId(keyId) || stored.length < headerLength + nonceBytes + tagBytes) throw unreadable(etcdKey, "its envelope is damaged");
  const end = stored.length - tagBytes;
  return {
    keyId,
    header: stored.subarray(0, headerLength),
    nonce: stored.subarray(headerLength, headerLength + nonceBytes),
    ciphertext: stored.subarray(headerLength + nonceBytes, end),
    tag: stored.subarray(end),
  };
}

/** Throws TesseraError "InternalError" unless the value was sealed under this encryption key for this etcd key. */
export function openEnvelope(encryptionKey: EncryptionKey, etcdKey: string, envelope: Envelope): Buffer {
  const decipher = createDecipheriv(algorithm, encryptionKey.secret, envelope.nonce, { authTagLength: tagBytes });
  decipher.setAAD(authenticated(envelope.header, etcdKey));
  decipher.setAuthTag(envelope.tag);
  const plain = decipher.update(envelope.ciphertext);
  try {
    return Buffer.concat([plain, decipher.final()]);
  } catch (cause) {
    const why = `it does not open under encryption key "${encryptionKey.id}": the value was altered, or was sealed for another key of etcd, or by another key of that id`;
    throw unreadable(etcdKey, why, cause);
  }
}

export function unreadable(etcdKey: string, why: string, cause?: unknown): TesseraError {
  return new TesseraError("InternalError", `${etcdKey} cannot be decrypted: ${why}`, { cause });
}

function authenticated(header: Buffer, etcdKey: string): Buffer {
  return Buffer.concat([header, Buffer.from(etcdKey)]);
}
