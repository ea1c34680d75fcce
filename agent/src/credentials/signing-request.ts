import "reflect-metadata";
import { createPrivateKey, webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

// Loaded only by those who join or renew: an agent that merely runs need not hold it in memory.

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** A new private key (P-256), PEM. */
export async function newKey(): Promise<string> {
  const { privateKey } = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", privateKey));
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" }).export({ type: "pkcs8", format: "pem" }).toString();
}

/** A certificate signing request (PKCS#10, PEM) of a node for this key. */
export async function signingRequest(nodeName: string, keyPem: string): Promise<string> {
  x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0]);
  const key = createPrivateKey(keyPem).export({ type: "pkcs8", format: "der" });
  const { d: _, key_ops: __, ...jwk } = createPrivateKey(keyPem).export({ format: "jwk" });
  const keys = {
    privateKey: await webcrypto.subtle.importKey("pkcs8", key, algorithm, false, ["sign"]),
    publicKey: await webcrypto.subtle.importKey("jwk", jwk as webcrypto.JsonWebKey, algorithm, true, ["verify"]),
  };
  const name: x509.JsonName = [{ CN: [`system:node:${nodeName}`] }, { O: ["system:nodes"] }];
  return (await x509.Pkcs10CertificateRequestGenerator.create({ name, keys, signingAlgorithm: algorithm })).toString("pem");
}
