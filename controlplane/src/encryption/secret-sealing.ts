import type { ValueSealing } from "../store/sealing.ts";
import { type EncryptionKey, openEnvelope, parseEnvelope, sealValue, unreadable } from "./envelope.ts";

/** The folder of etcd whose values are sealed. */
export const sealedPrefix = "/registry/secrets/";

/** With which plain JSON begins, and no envelope. */
const openingBrace = "{".charCodeAt(0);

/** Encryption keys as sealing needs them. */
export interface KeyRing {
  /** Where the keys lie, for messages. */
  readonly path: string;
  /** The key to write under. Throws TesseraError when what is written now might not be readable later. */
  current(): EncryptionKey;
  find(id: string): EncryptionKey | undefined;
}

/** Secrets are sealed in etcd, everything else lies there as it is. Plain Secrets, of before, can be read. */
export class SecretSealing implements ValueSealing {
  readonly #keys: KeyRing;

  constructor(keys: KeyRing) {
    this.#keys = keys;
  }

  seal(key: string, value: Buffer): Buffer {
    return key.startsWith(sealedPrefix) ? sealValue(this.#keys.current(), key, value) : value;
  }

  unseal(key: string, stored: Buffer): Buffer {
    if (!key.startsWith(sealedPrefix)) return stored;
    const envelope = parseEnvelope(key, stored);
    if (envelope === undefined) {
      if (stored[0] === openingBrace) return stored;
      throw unreadable(key, "it is neither sealed nor an object");
    }
    const encryptionKey = this.#keys.find(envelope.keyId);
    if (encryptionKey === undefined) {
      throw unreadable(key, `it is sealed under encryption key "${envelope.keyId}", which is not in ${this.#keys.path}`);
    }
    return openEnvelope(encryptionKey, key, envelope);
  }
}
