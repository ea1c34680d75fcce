import assert from "node:assert/strict";
import { createSecretKey } from "node:crypto";
import { describe, test } from "node:test";
import { TesseraError } from "@tessera/proto";
import type { EncryptionKey } from "./envelope.ts";
import { newKey } from "./key-file.ts";
import { type KeyRing, SecretSealing } from "./secret-sealing.ts";

const here = "/registry/secrets/default/db";
const value = Buffer.from('{"apiVersion":"v1","kind":"Secret","metadata":{"name":"db"},"data":{"password":"aHVudGVyMg=="}}');

function ring(...keys: readonly [EncryptionKey, ...EncryptionKey[]]): KeyRing {
  return { path: "/d/pki/encryption-keys.json", current: () => keys[0], find: (id) => keys.find((key) => key.id === id) };
}

function refusal(message: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof TesseraError, String(error));
    assert.equal(error.reason, "InternalError");
    assert.match(error.message, /^\/registry\/secrets\/default\/\S+ cannot be decrypted: /);
    assert.match(error.message, message);
    return true;
  };
}

describe("SecretSealing", () => {
  const key = newKey(new Date());
  const sealing = new SecretSealing(ring(key));

  test("a Secret is sealed and comes back as it was", () => {
    const sealed = sealing.seal(here, value);
    assert.ok(sealed.toString("latin1").startsWith(`sealed:v1:${key.id}:`));
    assert.equal(sealed.indexOf("aHVudGVyMg"), -1);
    assert.equal(sealed.indexOf("password"), -1);
    assert.deepEqual(sealing.unseal(here, sealed), value);
    assert.deepEqual(sealing.unseal(here, sealing.seal(here, Buffer.alloc(0))), Buffer.alloc(0));
  });

  test("no two seals of one value are alike", () => {
    assert.notDeepEqual(sealing.seal(here, value), sealing.seal(here, value));
  });

  test("what is no Secret stays as it is", () => {
    assert.equal(sealing.seal("/registry/configmaps/default/db", value), value);
    const other = Buffer.from("sealed:v1:anything");
    assert.equal(sealing.unseal("/registry/configmaps/default/db", other), other);
  });

  test("a plain Secret of before is read as it is", () => {
    assert.equal(sealing.unseal(here, value), value);
  });

  test("a value moved to another key of etcd does not open there", () => {
    assert.throws(
      () => sealing.unseal("/registry/secrets/default/other", sealing.seal(here, value)),
      refusal(/sealed for another key of etcd/),
    );
  });

  test("one altered bit anywhere is found", () => {
    const sealed = sealing.seal(here, value);
    for (let at = 0; at < sealed.length; at++) {
      const altered = Buffer.from(sealed);
      altered.writeUInt8(altered.readUInt8(at) ^ 1, at);
      assert.throws(
        () => sealing.unseal(here, altered),
        refusal(/does not open|is not in|damaged|does not know|neither sealed/),
        `byte ${at}`,
      );
    }
  });

  test("a value cut short is damaged, wherever it is cut", () => {
    const sealed = sealing.seal(here, value);
    for (let length = 0; length < sealed.length; length++) {
      assert.throws(
        () => sealing.unseal(here, sealed.subarray(0, length)),
        refusal(/does not open|damaged|does not know|neither sealed/),
        `${length} bytes`,
      );
    }
  });

  test("an unknown encryption key is named, with the file that should hold it", () => {
    const sealed = new SecretSealing(ring(newKey(new Date()))).seal(here, value);
    assert.throws(
      () => sealing.unseal(here, sealed),
      refusal(/under encryption key "[0-9a-f]{16}", which is not in \/d\/pki\/encryption-keys\.json/),
    );
  });

  test("another key under the same id does not open a value", () => {
    const impostor = { id: key.id, secret: createSecretKey(Buffer.alloc(32, 7)) };
    assert.throws(() => new SecretSealing(ring(impostor)).unseal(here, sealing.seal(here, value)), refusal(/by another key of that id/));
  });

  test("the id of the key cannot be exchanged for that of an equal key", () => {
    const twin = { id: "0000000000000000", secret: key.secret };
    const sealed = sealing.seal(here, value).toString("latin1").replace(key.id, twin.id);
    assert.throws(() => new SecretSealing(ring(twin)).unseal(here, Buffer.from(sealed, "latin1")), refusal(/does not open/));
  });

  test("a form of a later version is said to be one", () => {
    assert.throws(() => sealing.unseal(here, Buffer.from("sealed:v2:whatever")), refusal(/a form that this version does not know/));
  });

  test("every key is used for reading, the first for writing", () => {
    const next = newKey(new Date());
    const both = new SecretSealing(ring(next, key));
    assert.deepEqual(both.unseal(here, sealing.seal(here, value)), value);
    assert.ok(both.seal(here, value).toString("latin1").startsWith(`sealed:v1:${next.id}:`));
  });
});
